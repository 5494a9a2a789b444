"""Handing the model to the people who build the app: one folder that works."""
