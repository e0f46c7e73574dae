"""Holds the CUDA runner against transformers' DeepseekV2ForCausalLM (eager attention) at the true
Lite widths: transformers_parity.py FOLDER_WITH_GPU_LOGITS

Makes a checkpoint with transformers itself (4 layers, random weights), lets gpu_logits read it, and
compares logits: a prompt from position 0, and a few tokens at high positions.
"""

import pathlib
import subprocess
import sys
import tempfile

import numpy
import torch
from transformers import DeepseekV2Config, DeepseekV2ForCausalLM
from transformers.cache_utils import DynamicCache

MAX_MEDIAN = 0.02
# Tokens of the sequence, and how many of its last ones are compared.
CASES = ((300, 300), (5000, 40), (131072, 24))


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
    model = DeepseekV2ForCausalLM(lite_config(4)).to(torch.bfloat16)
    for name, weight in model.named_parameters():
        if weight.dim() >= 2:
            torch.nn.init.normal_(weight, std=weight.shape[-1] ** -0.5)
    model.save_pretrained(folder, max_shard_size="2GB")
    write_config(folder)
    return model.float().cuda().eval()


def write_config(folder):
    """The keys as published checkpoints have them; newer libraries rename some on saving."""
    import json
    path = pathlib.Path(folder) / "config.json"
    config = json.loads(path.read_text())
    config["rope_theta"] = 10000
    config["rope_scaling"] = {"type": "yarn", "factor": 40,
                              "original_max_position_embeddings": 4096, "beta_fast": 32,
                              "beta_slow": 1, "mscale": 0.707, "mscale_all_dim": 0.707}
    config.pop("rope_parameters", None)
    config.pop("mlp_layer_types", None)
    for key, value in {"moe_layer_freq": 1, "scoring_func": "softmax", "hidden_act": "silu",
                       "architectures": ["DeepseekV2ForCausalLM"], "torch_dtype": "bfloat16",
                       "n_routed_experts": 64, "first_k_dense_replace": 1,
                       "n_group": 1, "topk_group": 1}.items():
        config[key] = value
    path.write_text(json.dumps(config, indent=1))


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
            generator = torch.Generator().manual_seed(count)
            tokens = torch.randint(0, 100000, (count,), generator=generator).tolist()
            good &= report(f"{last} tokens up to {count}",
                           our_logits(program, folder, tokens, last, vocabulary),
                           expected_logits(model, tokens, last))
            torch.cuda.empty_cache()
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
