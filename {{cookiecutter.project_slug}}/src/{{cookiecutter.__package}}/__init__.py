"""From raw files to a model behind an API.

Begin to read in `train`; `models`, `features` and `network` say what is trained, `app` what is
served. What they import from `coldstart` is the engine, in `vendor/coldstart`.
"""
