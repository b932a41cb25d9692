"""What turns messages into text: one protocol and the pool (`pool`), the reference on transformers and PEFT,
exported models, vLLM, any OpenAI-compatible server. Knows nothing of authors, the registry or HTTP.
"""
