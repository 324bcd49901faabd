"""The demo page: ask the model, see what moved its answer, and read how good it is."""
