"""Holds the CUDA runner against transformers' DeepseekV2ForCausalLM (eager attention) at the true
Lite widths: transformers_parity.py FOLDER_WITH_GPU_LOGITS

Makes a random model of 3 layers on the GPU, writes it as a checkpoint, lets gpu_logits read that, and
compares logits: a prompt from position 0, and the last tokens of sequences that end at high positions.
"""

import json
import pathlib
import subprocess
import sys
import tempfile
import time

import numpy
import torch
from safetensors.torch import save_file
from transformers import DeepseekV2Config, DeepseekV2ForCausalLM
from transformers.cache_utils import DynamicCache

LAYERS = 3
MAX_MEDIAN = 0.02
# Tokens of the sequence, and how many of its last ones are compared.
CASES = ((300, 300), (5000, 16), (131072, 16))


def lite_config(layers):
    return DeepseekV2Config(
        vocab_size=102400, hidden_size=2048, intermediate_size=10944, moe_intermediate_size=1408,
        num_hidden_layers=layers, num_attention_heads=16, num_key_value_heads=16,
        n_shared_experts=2, n_routed_experts=64, num_experts_per_tok=6, routed_scaling_factor=1.0,
        kv_lora_rank=512, q_lora_rank=None, qk_rope_head_dim=64, qk_nope_head_dim=128,
        v_head_dim=128, topk_method="greedy", n_group=1, topk_group=1, first_k_dense_replace=1,
        norm_topk_prob=False, max_position_embeddings=163840, rms_norm_eps=1e-6,
        tie_word_embeddings=False, rope_theta=10000, attention_bias=False,
        rope_scaling={"type": "yarn", "rope_type": "yarn", "factor": 40,
                      "original_max_position_embeddings": 4096, "beta_fast": 32, "beta_slow": 1,
                      "mscale": 0.707, "mscale_all_dim": 0.707},
        bos_token_id=100000, eos_token_id=100001)


def make_model(folder):
    torch.manual_seed(5)
    with torch.device("cuda"):
        model = DeepseekV2ForCausalLM(lite_config(LAYERS))
        for weight in model.parameters():
            if weight.dim() >= 2:
                torch.nn.init.normal_(weight, std=weight.shape[-1] ** -0.5)
            # Parameters alone: the rotary frequencies are a buffer and stay in float32.
            weight.data = weight.data.to(torch.bfloat16).float()
    model = model.cuda()
    save_file(checkpoint_tensors(model), pathlib.Path(folder) / "model.safetensors")
    write_config(folder)
    return model.eval()


def checkpoint_tensors(model):
    """The tensors under the names of published checkpoints; newer libraries keep a layer's experts
    in one tensor of [experts, gate and up, hidden] and one of [experts, hidden, width]."""
    tensors = {}
    for name, tensor in model.state_dict().items():
        tensor = tensor.to(torch.bfloat16)
        stem, _, kind = name.rpartition(".")
        if kind not in ("gate_up_proj", "down_proj"):
            tensors[name] = tensor.contiguous()
            continue
        assert tensor.shape[1:] == ((2816, 2048) if kind == "gate_up_proj" else (2048, 1408)), name
        for expert, matrix in enumerate(tensor):
            parts = {"down_proj": matrix}
            if kind == "gate_up_proj":
                parts = dict(zip(("gate_proj", "up_proj"), matrix.chunk(2)))
            for part, values in parts.items():
                tensors[f"{stem}.{expert}.{part}.weight"] = values.clone()
    return tensors


def write_config(folder):
    """config.json as the published checkpoint has it."""
    config = {key: value for key, value in lite_config(LAYERS).to_dict().items()
              if isinstance(value, (int, float, bool, str)) or key == "q_lora_rank"}
    config.update({
        "architectures": ["DeepseekV2ForCausalLM"], "model_type": "deepseek_v2",
        "q_lora_rank": None, "rope_theta": 10000, "moe_layer_freq": 1, "scoring_func": "softmax",
        "hidden_act": "silu", "torch_dtype": "bfloat16", "n_routed_experts": 64,
        "n_shared_experts": 2, "first_k_dense_replace": 1, "n_group": 1, "topk_group": 1,
        "topk_method": "greedy", "norm_topk_prob": False,
        "rope_scaling": {"type": "yarn", "factor": 40, "original_max_position_embeddings": 4096,
                         "beta_fast": 32, "beta_slow": 1, "mscale": 0.707,
                         "mscale_all_dim": 0.707}})
    (pathlib.Path(folder) / "config.json").write_text(json.dumps(config, indent=1))


def our_logits(program, folder, tokens, last, vocabulary):
    with tempfile.TemporaryDirectory() as scratch:
        ids = pathlib.Path(scratch) / "tokens"
        out = pathlib.Path(scratch) / "logits"
        numpy.asarray(tokens, dtype=numpy.int32).tofile(ids)
        subprocess.run([program, folder, ids, str(last), out], check=True)
        return torch.from_numpy(numpy.fromfile(out, dtype=numpy.float32).reshape(-1, vocabulary))


def errors(found, expected):
    return ((found - expected).norm(dim=-1) / expected.norm(dim=-1)).sort().values


def report(name, found, expected):
    error = errors(found, expected.cpu())
    median, worst = error[len(error) // 2].item(), error[-1].item()
    agree = (found.argmax(-1) == expected.cpu().argmax(-1)).float().mean().item()
    print(f"{name:24s} median {median:.4f} worst {worst:.4f} same best token {agree:.3f}",
          flush=True)
    return median < MAX_MEDIAN


@torch.no_grad()
def expected_logits(model, tokens, last):
    """In pieces, so that an eager score matrix of a long prefix fits."""
    cache = DynamicCache()
    for begin in range(0, len(tokens) - last, 512):
        piece = tokens[begin:min(begin + 512, len(tokens) - last)]
        model.model(input_ids=torch.tensor([piece]).cuda(), past_key_values=cache)
    return model(torch.tensor([tokens[-last:]]).cuda(), past_key_values=cache).logits[0]


def main():
    program = pathlib.Path(sys.argv[1]).resolve() / "gpu_logits"
    torch.backends.cuda.matmul.allow_tf32 = False
    good = True
    with tempfile.TemporaryDirectory() as folder:
        model = make_model(folder)
        model.config._attn_implementation = "eager"
        vocabulary = model.config.vocab_size
        for count, last in CASES:
            began = time.monotonic()
            generator = torch.Generator().manual_seed(count)
            tokens = torch.randint(0, 100000, (count,), generator=generator).tolist()
            good &= report(f"{last} tokens up to {count}",
                           our_logits(program, folder, tokens, last, vocabulary),
                           expected_logits(model, tokens, last))
            print(f"{time.monotonic() - began:.0f} s", flush=True)
            torch.cuda.empty_cache()
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
