"""From a table of raw files to a model behind an API.

The order of the data's way: reading, validation, splitting, preparation, features,
models (neural, network), export, scoring, evaluation, plots, card, bundle, tracking, registry,
training; then serving and batch. `columns` and `contract` say what the data is,
`settings` what the person chose, `commands` what can be done.
"""
