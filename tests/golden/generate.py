#!/usr/bin/env python3
"""Regenerates every case beside it: ops/NAME.toml and nets/NAME.toml with what PyTorch computes for each.

    generate.py [NAME ...] needs torch, numpy, safetensors; writes nothing but ops/*.{toml,safetensors} and
                           the .safetensors of the hand-written nets/*.toml; with names, only theirs

The batch is 3, unless the first line of a hand-written spec says another: `# oracle: --batch 5`.
"""
import pathlib
import re
import sys

from oracle import run, save_file

here = pathlib.Path(__file__).parent

OPS = {
    # conv2d: every parameter alone, then in combination
    "conv2d_plain": ([2, 5, 7], "conv2d", dict(out_channels=3, kernel_size=3)),
    "conv2d_no_bias": ([2, 5, 5], "conv2d", dict(out_channels=3, kernel_size=3, bias=False)),
    "conv2d_rect_kernel": ([3, 6, 7], "conv2d", dict(out_channels=4, kernel_size=[2, 3])),
    "conv2d_stride": ([2, 8, 9], "conv2d", dict(out_channels=3, kernel_size=3, stride=2)),
    "conv2d_rect_stride": ([2, 8, 9], "conv2d", dict(out_channels=3, kernel_size=3, stride=[2, 3])),
    "conv2d_stride_over_kernel": ([2, 9, 9], "conv2d", dict(out_channels=3, kernel_size=2, stride=3)),
    "conv2d_padding": ([2, 5, 6], "conv2d", dict(out_channels=3, kernel_size=3, padding=1)),
    "conv2d_rect_padding": ([2, 5, 6], "conv2d", dict(out_channels=3, kernel_size=[3, 5], padding=[1, 2])),
    "conv2d_padding_over_half": ([2, 4, 4], "conv2d", dict(out_channels=3, kernel_size=3, padding=2)),
    "conv2d_same": ([2, 5, 6], "conv2d", dict(out_channels=3, kernel_size=[3, 4], padding="same")),
    "conv2d_valid": ([2, 5, 6], "conv2d", dict(out_channels=3, kernel_size=3, padding="valid")),
    "conv2d_reflect": ([2, 5, 6], "conv2d", dict(out_channels=3, kernel_size=3, padding=2, padding_mode="reflect")),
    "conv2d_replicate": ([2, 5, 6], "conv2d", dict(out_channels=3, kernel_size=3, padding=[2, 1], padding_mode="replicate")),
    "conv2d_circular": ([2, 5, 6], "conv2d", dict(out_channels=3, kernel_size=3, padding=1, padding_mode="circular")),
    "conv2d_same_reflect": ([2, 5, 6], "conv2d", dict(out_channels=2, kernel_size=4, padding="same", padding_mode="reflect")),
    # a border behind the input alone, and one wider there than in front
    "conv2d_same_circular_behind": ([3, 7, 8], "conv2d", dict(out_channels=4, kernel_size=2, padding="same", padding_mode="circular")),
    "conv2d_same_reflect_behind": ([16, 7, 8], "conv2d", dict(out_channels=20, kernel_size=[2, 1], padding="same", padding_mode="reflect")),
    "conv2d_same_replicate_uneven": ([8, 7, 9], "conv2d", dict(out_channels=16, kernel_size=[1, 4], padding="same", padding_mode="replicate")),
    "conv2d_same_circular_depthwise": ([17, 6, 5], "conv2d", dict(out_channels=17, kernel_size=2, groups=17, padding="same", padding_mode="circular")),
    "conv2d_same_circular_dilated": ([8, 7, 9], "conv2d", dict(out_channels=16, kernel_size=2, dilation=[1, 3], padding="same", padding_mode="circular")),
    "conv2d_same_zeros_behind": ([8, 7, 9], "conv2d", dict(out_channels=16, kernel_size=[2, 4], padding="same")),
    "conv1d_same_circular_behind": ([8, 11], "conv1d", dict(out_channels=9, kernel_size=2, padding="same", padding_mode="circular")),
    "conv2d_dilation": ([2, 9, 10], "conv2d", dict(out_channels=3, kernel_size=3, dilation=2)),
    "conv2d_rect_dilation": ([2, 9, 10], "conv2d", dict(out_channels=3, kernel_size=3, dilation=[1, 3], padding=[1, 3])),
    "conv2d_same_dilated": ([2, 9, 10], "conv2d", dict(out_channels=3, kernel_size=3, dilation=2, padding="same")),
    "conv2d_groups": ([4, 5, 6], "conv2d", dict(out_channels=6, kernel_size=3, groups=2, padding=1)),
    "conv2d_depthwise": ([6, 7, 8], "conv2d", dict(out_channels=6, kernel_size=3, groups=6, padding=1)),
    "conv2d_depthwise_stride": ([20, 9, 9], "conv2d", dict(out_channels=20, kernel_size=3, groups=20, stride=2, padding=1)),
    "conv2d_depthwise_5x5": ([17, 9, 9], "conv2d", dict(out_channels=17, kernel_size=5, groups=17, padding=2)),
    "conv2d_depthwise_multiplier": ([4, 6, 6], "conv2d", dict(out_channels=8, kernel_size=3, groups=4)),
    "conv2d_1x1": ([19, 6, 7], "conv2d", dict(out_channels=33, kernel_size=1)),
    "conv2d_1x1_stride": ([16, 7, 7], "conv2d", dict(out_channels=32, kernel_size=1, stride=2)),
    "conv2d_wide": ([32, 12, 13], "conv2d", dict(out_channels=48, kernel_size=3, padding=1)),
    "conv2d_odd_channels": ([17, 11, 9], "conv2d", dict(out_channels=35, kernel_size=3, padding=1)),
    "conv2d_7x7_stride": ([3, 23, 21], "conv2d", dict(out_channels=18, kernel_size=7, stride=2, padding=3)),
    "conv2d_11x11": ([3, 24, 24], "conv2d", dict(out_channels=5, kernel_size=11, stride=4, padding=2)),
    "conv2d_one_pixel": ([5, 1, 1], "conv2d", dict(out_channels=4, kernel_size=1)),
    "conv2d_all": ([4, 11, 12], "conv2d", dict(out_channels=6, kernel_size=[3, 2], stride=[2, 1], padding=[2, 1], dilation=[2, 3], groups=2, bias=False)),
    "conv2d_all_circular": ([4, 11, 12], "conv2d", dict(out_channels=6, kernel_size=[3, 2], stride=[1, 2], padding=[2, 3], dilation=[2, 1], groups=2, padding_mode="circular")),
    "conv1d_plain": ([3, 12], "conv1d", dict(out_channels=4, kernel_size=3)),
    "conv1d_all": ([4, 17], "conv1d", dict(out_channels=6, kernel_size=3, stride=2, padding=2, dilation=2, groups=2)),
    "conv_transpose2d": ([3, 5, 6], "conv_transpose2d", dict(out_channels=4, kernel_size=3, stride=2, padding=1, output_padding=1)),
    "conv_transpose2d_groups": ([4, 4, 4], "conv_transpose2d", dict(out_channels=6, kernel_size=[2, 3], stride=[2, 1], groups=2, dilation=[1, 2], bias=False)),
    # pooling
    "max_pool2d_plain": ([2, 6, 8], "max_pool2d", dict(kernel_size=2)),
    "max_pool2d_overlap": ([2, 7, 7], "max_pool2d", dict(kernel_size=3, stride=2)),
    "max_pool2d_stride_1": ([2, 4, 5], "max_pool2d", dict(kernel_size=2, stride=1)),
    "max_pool2d_rect": ([3, 7, 9], "max_pool2d", dict(kernel_size=[2, 3], stride=[1, 2])),
    "max_pool2d_padding": ([2, 7, 7], "max_pool2d", dict(kernel_size=3, stride=2, padding=1)),
    "max_pool2d_rect_padding": ([2, 7, 8], "max_pool2d", dict(kernel_size=[2, 5], stride=2, padding=[1, 2])),
    "max_pool2d_dilation": ([2, 9, 9], "max_pool2d", dict(kernel_size=3, stride=1, dilation=2)),
    "max_pool2d_ceil": ([2, 6, 6], "max_pool2d", dict(kernel_size=3, stride=2, ceil_mode=True)),
    "max_pool2d_ceil_padding": ([2, 7, 8], "max_pool2d", dict(kernel_size=3, stride=3, padding=1, ceil_mode=True)),
    "max_pool2d_ceil_last_window_dropped": ([1, 4, 4], "max_pool2d", dict(kernel_size=1, stride=4, ceil_mode=True)),
    "max_pool2d_all": ([17, 10, 11], "max_pool2d", dict(kernel_size=[3, 2], stride=[2, 3], padding=[1, 1], dilation=[2, 1], ceil_mode=True)),
    "max_pool1d_plain": ([3, 10], "max_pool1d", dict(kernel_size=2)),
    "max_pool1d_all": ([3, 14], "max_pool1d", dict(kernel_size=3, stride=2, padding=1, dilation=2, ceil_mode=True)),
    "avg_pool2d_plain": ([2, 6, 8], "avg_pool2d", dict(kernel_size=2)),
    "avg_pool2d_padding": ([2, 4, 4], "avg_pool2d", dict(kernel_size=2, stride=1, padding=1)),
    "avg_pool2d_exclude_pad": ([2, 4, 4], "avg_pool2d", dict(kernel_size=3, stride=2, padding=1, count_include_pad=False)),
    "avg_pool2d_ceil": ([2, 6, 7], "avg_pool2d", dict(kernel_size=3, stride=2, ceil_mode=True)),
    "avg_pool2d_ceil_padding": ([2, 7, 7], "avg_pool2d", dict(kernel_size=3, stride=3, padding=1, ceil_mode=True)),
    "avg_pool2d_ceil_exclude_pad": ([2, 6, 7], "avg_pool2d", dict(kernel_size=3, stride=2, padding=1, ceil_mode=True, count_include_pad=False)),
    "avg_pool2d_divisor": ([2, 6, 6], "avg_pool2d", dict(kernel_size=2, divisor_override=3)),
    "avg_pool2d_divisor_padding": ([2, 6, 6], "avg_pool2d", dict(kernel_size=3, stride=2, padding=1, ceil_mode=True, divisor_override=5)),
    "avg_pool2d_rect": ([17, 7, 9], "avg_pool2d", dict(kernel_size=[2, 3], stride=[1, 2], padding=[1, 0])),
    "avg_pool2d_global": ([5, 7, 7], "avg_pool2d", dict(kernel_size=7)),
    "avg_pool1d_plain": ([3, 10], "avg_pool1d", dict(kernel_size=2)),
    "avg_pool1d_all": ([3, 11], "avg_pool1d", dict(kernel_size=3, stride=2, padding=1, ceil_mode=True, count_include_pad=False)),
    "lp_pool2d": ([2, 6, 8], "lp_pool2d", dict(norm_type=2, kernel_size=2)),
    "lp_pool2d_stride": ([3, 7, 9], "lp_pool2d", dict(norm_type=2, kernel_size=[3, 2], stride=[2, 1])),
    "lp_pool2d_ceil": ([2, 6, 7], "lp_pool2d", dict(norm_type=4, kernel_size=3, stride=2, ceil_mode=True)),
    "lp_pool2d_sum": ([2, 6, 7], "lp_pool2d", dict(norm_type=1, kernel_size=3, stride=2, ceil_mode=True)),
    "adaptive_avg_pool2d_1": ([5, 6, 7], "adaptive_avg_pool2d", dict(output_size=1)),
    "adaptive_avg_pool2d_rect": ([3, 7, 10], "adaptive_avg_pool2d", dict(output_size=[3, 4])),
    "adaptive_avg_pool2d_up": ([2, 3, 3], "adaptive_avg_pool2d", dict(output_size=5)),
    "adaptive_max_pool2d": ([3, 7, 10], "adaptive_max_pool2d", dict(output_size=[3, 4])),
    # linear, flatten
    "linear_plain": ([7], "linear", dict(out_features=5)),
    "linear_no_bias": ([7], "linear", dict(out_features=5, bias=False)),
    "linear_wide": ([131], "linear", dict(out_features=67)),
    "linear_on_last_axis": ([4, 6], "linear", dict(out_features=3)),
    "flatten_default": ([2, 3, 4], "flatten", dict()),
    "flatten_start": ([2, 3, 4], "flatten", dict(start_dim=2)),
    "flatten_end": ([2, 3, 4], "flatten", dict(start_dim=1, end_dim=2)),
    "flatten_negative": ([2, 3, 4], "flatten", dict(start_dim=-3, end_dim=-2)),
    # activations
    "relu": ([2, 4, 5], "relu", dict()),
    "relu6": ([2, 4, 5], "relu6", dict()),
    "leaky_relu_default": ([2, 4, 5], "leaky_relu", dict()),
    "leaky_relu": ([2, 4, 5], "leaky_relu", dict(negative_slope=0.2)),
    "prelu_one": ([3, 4, 5], "prelu", dict()),
    "prelu_per_channel": ([3, 4, 5], "prelu", dict(num_parameters=3)),
    "rrelu_eval": ([3, 4, 5], "rrelu", dict(lower=0.1, upper=0.3)),
    "elu": ([2, 4, 5], "elu", dict(alpha=0.7)),
    "gelu": ([2, 4, 5], "gelu", dict()),
    "gelu_tanh": ([2, 4, 5], "gelu", dict(approximate="tanh")),
    "silu": ([2, 4, 5], "silu", dict()),
    "hardswish": ([2, 4, 5], "hardswish", dict()),
    "hardsigmoid": ([2, 4, 5], "hardsigmoid", dict()),
    "sigmoid": ([2, 4, 5], "sigmoid", dict()),
    "tanh": ([2, 4, 5], "tanh", dict()),
    "softmax_features": ([9], "softmax", dict(dim=1)),
    "softmax_channels": ([4, 3, 5], "softmax", dict(dim=1)),
    "softmax_last": ([4, 3, 5], "softmax", dict(dim=-1)),
    "log_softmax": ([9], "log_softmax", dict(dim=1)),
    # normalisation, regularisation, resampling
    "batch_norm2d": ([4, 5, 6], "batch_norm2d", dict()),
    "batch_norm2d_all": ([4, 5, 6], "batch_norm2d", dict(eps=0.001, momentum=0.3)),
    "batch_norm2d_plain": ([4, 5, 6], "batch_norm2d", dict(affine=False)),
    "batch_norm2d_no_stats": ([4, 5, 6], "batch_norm2d", dict(track_running_stats=False)),
    "batch_norm1d": ([7], "batch_norm1d", dict()),
    "layer_norm": ([4, 5], "layer_norm", dict()),
    "layer_norm_last": ([4, 5], "layer_norm", dict(normalized_shape=[5], eps=0.001)),
    "group_norm": ([6, 4, 4], "group_norm", dict(num_groups=3)),
    "local_response_norm": ([7, 4, 4], "local_response_norm", dict(size=5, alpha=0.001, beta=0.75, k=2.0)),
    "dropout_eval": ([3, 4, 5], "dropout", dict(p=0.4)),
    "dropout2d_eval": ([3, 4, 5], "dropout2d", dict(p=0.4)),
    "upsample_nearest": ([2, 3, 4], "upsample", dict(scale_factor=2, mode="nearest")),
    "upsample_bilinear": ([2, 3, 4], "upsample", dict(scale_factor=2, mode="bilinear", align_corners=False)),
    "upsample_bilinear_corners": ([2, 3, 4], "upsample", dict(scale_factor=3, mode="bilinear", align_corners=True)),
}


def toml_value(v):
    if isinstance(v, bool):
        return "true" if v else "false"
    if isinstance(v, str):
        return f'"{v}"'
    return str(v)


def main():
    for name, (shape, kind, args) in OPS.items():
        lines = ["[network]", f"input = {shape}", "", "[[layer]]", 'name = "op"', f'type = "{kind}"']
        lines += [f"{k} = {toml_value(v)}" for k, v in args.items()]
        (here / "ops" / f"{name}.toml").write_text("\n".join(lines) + "\n")
    total = 0
    for path in sorted(here.glob("ops/*.toml")) + sorted(here.glob("nets/*.toml")):
        if sys.argv[1:] and path.stem not in sys.argv[1:]:
            continue
        said = re.match(r"# oracle: --batch (\d+)\n", path.read_text())
        tensors = run(path, batch=int(said[1]) if said else 3, seed=0, steps=5)
        save_file(tensors, path.with_suffix(".safetensors"))
        total += 1
    print(f"{total} cases")


if __name__ == "__main__":
    main()
