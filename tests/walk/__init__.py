"""The walk over the schema: for each setting of each layer type, another value and what it does to the answer."""
