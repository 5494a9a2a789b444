"""The Textual screens: layout, bindings and message handlers, one module each."""
