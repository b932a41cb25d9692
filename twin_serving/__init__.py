"""Inference: the LitServe application, engines, composer and links reader, and the client that others speak to it with.

Imports no dagster; torch and transformers are loaded by the inference worker alone. What decides nothing at request
time (collecting, training, evaluating) belongs in twin_assets.
"""
