"""Training examples from any OpenAI-compatible server: balanced, checked at once, paid once."""
