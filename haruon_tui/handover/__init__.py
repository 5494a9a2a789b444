"""Handing the model to people elsewhere: its card, the commands that copy it, the Hub."""
