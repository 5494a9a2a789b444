"""Stage "compare": what each quantization costs and is worth."""
