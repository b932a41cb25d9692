"""llama.cpp as an alternative in benchmarks: a Llama written as Q8_0 GGUF, and its server inside a process.

Needs xllamacpp (llama.cpp in a wheel) and gguf, which only this uses; without them it is left out and said so.
"""

import json
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

THREADS = 2


def available() -> bool:
    """Whether its packages are installed."""
    return find_spec("xllamacpp") is not None and find_spec("gguf") is not None


def write_gguf(model: Any, tokenizer: Any, path: Path) -> None:
    """Write a transformers Llama with tied embeddings as llama.cpp reads it; matrices in Q8_0, norms in 32 bits."""
    import gguf

    config = model.config
    writer = gguf.GGUFWriter(str(path), "llama")
    writer.add_block_count(config.num_hidden_layers)
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_rope_dimension_count(config.hidden_size // config.num_attention_heads)
    writer.add_rope_freq_base(float(config.rope_parameters["rope_theta"]))
    writer.add_vocab_size(config.vocab_size)
    _write_words(writer, tokenizer, config.vocab_size)
    kind = gguf.GGMLQuantizationType.Q8_0
    writer.add_file_type(gguf.LlamaFileType.MOSTLY_Q8_0)
    for name, weight in model.state_dict().items():
        found = _gguf_name(name)
        if found is None:
            continue
        values = weight.float().numpy()
        if "q_proj" in name or "k_proj" in name:
            heads = config.num_attention_heads if "q_proj" in name else config.num_key_value_heads
            # llama.cpp turns neighbours, transformers halves.
            rows = values.reshape(heads, 2, values.shape[0] // heads // 2, values.shape[1])
            values = rows.swapaxes(1, 2).reshape(values.shape)
        if values.ndim == 2:
            writer.add_tensor(found, gguf.quants.quantize(np.ascontiguousarray(values), kind), raw_dtype=kind)
        else:
            writer.add_tensor(found, values)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _write_words(writer: Any, tokenizer: Any, size: int) -> None:
    import gguf

    known = json.loads(tokenizer.backend_tokenizer.to_str())["model"]
    words = {number: word for word, number in tokenizer.get_vocab().items()}
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("default")
    writer.add_token_list([words.get(number, f"[PAD{number}]") for number in range(size)])
    normal, unused = gguf.TokenType.NORMAL, gguf.TokenType.UNUSED
    writer.add_token_types([normal if number in words else unused for number in range(size)])
    writer.add_token_merges([" ".join(merge) if isinstance(merge, list) else merge for merge in known["merges"]])
    writer.add_eos_token_id(tokenizer.eos_token_id)
    writer.add_bos_token_id(tokenizer.eos_token_id)


def _gguf_name(name: str) -> str | None:
    outer = {"model.embed_tokens.weight": "token_embd.weight", "model.norm.weight": "output_norm.weight"}
    if not name.startswith("model.layers."):
        return outer.get(name)
    _, _, layer, part = name.split(".", 3)
    inner = {
        "self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k", "self_attn.v_proj": "attn_v",
        "self_attn.o_proj": "attn_output", "mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up",
        "mlp.down_proj": "ffn_down", "input_layernorm": "attn_norm", "post_attention_layernorm": "ffn_norm",
    }  # fmt: skip
    return f"blk.{layer}.{inner[part.removesuffix('.weight')]}.weight"


class LlamaCpp:
    """A GGUF in llama.cpp's server, without HTTP in between."""

    def __init__(self, path: Path, rows: int, length: int) -> None:
        import xllamacpp

        params = xllamacpp.CommonParams()
        params.model.path = str(path)
        params.n_parallel = rows
        params.n_ctx = rows * length
        params.cpuparams.n_threads = params.cpuparams_batch.n_threads = THREADS
        params.warmup = True
        params.verbosity = 0
        self.server = xllamacpp.Server(params)

    def complete(self, prompt: list[int], tokens: int) -> dict[str, Any]:
        """What the server says of a greedy answer of so many tokens: `timings` among it (ms, tokens a second)."""
        request = {
            "prompt": prompt, "n_predict": tokens, "temperature": 0.0, "ignore_eos": True, "cache_prompt": False,
        }  # fmt: skip
        answer = self.server.handle_completions(request)
        return json.loads(answer) if isinstance(answer, (str, bytes)) else dict(answer)


_server: LlamaCpp | None = None


def start(path: Path, rows: int, length: int) -> None:
    """Load a GGUF in this process, which complete() then asks."""
    global _server
    _server = LlamaCpp(path, rows, length)


def complete(prompts: list[list[int]], tokens: int) -> list[dict[str, float]]:
    """All prompts at once: what the server measured of each."""
    server = _server
    assert server is not None, "start() comes first"
    with ThreadPoolExecutor(len(prompts)) as threads:
        return [answer["timings"] for answer in threads.map(lambda prompt: server.complete(prompt, tokens), prompts)]
