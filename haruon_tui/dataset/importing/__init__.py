"""Import of other datasets: a container gives rows, and a shape makes a record of each.

containers: which container a file or folder is, from its content
text_tables, json_values, columnar: rows of CSV, JSON, and Arrow or Parquet
shapes: ChatML, ShareGPT, Alpaca, prompt and completion, answers in columns
importer: what is found is shown, then written
"""
