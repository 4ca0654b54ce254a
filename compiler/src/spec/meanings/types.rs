//! Types of layers in other frameworks' words.

/// Words after `type =`.
pub const TYPES: &[(&[&str], &str)] = &[
    // Convolutions and linear layers.
    (
        &["conv", "convolution", "cnn"],
        "write type = \"conv2d\" for [channels, height, width], \"conv1d\" for [channels, length]",
    ),
    (&["depthwise_conv", "depthwise_conv2d"], "write type = \"conv2d\" with groups = the number of channels"),
    (&["pointwise_conv", "pointwise_conv2d"], "write type = \"conv2d\" with kernel_size = 1"),
    (
        &["separable_conv2d", "depthwise_separable_conv2d"],
        "write two layers: a conv2d with groups = the number of channels, and one with kernel_size = 1",
    ),
    (
        &[
            "deconv",
            "deconv2d",
            "deconvolution",
            "deconvolution2d",
            "conv2d_transpose",
            "convolution2d_transpose",
            "transposed_conv",
            "transposed_conv2d",
            "conv_transpose",
        ],
        "write type = \"conv_transpose2d\"",
    ),
    (
        &["conv_transpose1d", "conv1d_transpose", "deconv1d"],
        "there are no transposed convolutions of one axis; conv_transpose2d takes [channels, height, width]",
    ),
    (
        &["dense", "fc", "fully_connected", "inner_product", "gemm", "affine", "lazy_linear"],
        "write type = \"linear\" with out_features",
    ),
    (
        &["bilinear"],
        "there is no layer that multiplies two inputs by a weight; scaling maps by bilinear interpolation is type = \"upsample\" with mode = \"bilinear\"",
    ),
    (&["embedding", "embedding_bag", "one_hot"], "there is no such layer: a network's inputs are floats"),
    (&["lstm", "gru", "rnn", "lstm_cell", "gru_cell", "simple_rnn", "recurrent"], "there are no recurrent layers"),
    (
        &[
            "attention",
            "multihead_attention",
            "self_attention",
            "transformer",
            "transformer_encoder",
            "transformer_encoder_layer",
        ],
        "there are no layers of attention",
    ),
    // Pooling.
    (
        &["maxpool", "max_pooling", "pool", "pooling"],
        "write type = \"max_pool2d\" for [channels, height, width], \"max_pool1d\" for [channels, length]; means are avg_pool2d and avg_pool1d",
    ),
    (&["max_pooling2d"], "write type = \"max_pool2d\""),
    (&["max_pooling1d"], "write type = \"max_pool1d\""),
    (
        &["avgpool", "average_pool", "average_pooling", "mean_pool"],
        "write type = \"avg_pool2d\" for [channels, height, width], \"avg_pool1d\" for [channels, length]",
    ),
    (&["average_pooling2d", "average_pool2d", "mean_pool2d"], "write type = \"avg_pool2d\""),
    (&["average_pooling1d", "average_pool1d", "mean_pool1d"], "write type = \"avg_pool1d\""),
    (
        &[
            "global_avg_pool",
            "global_avg_pool2d",
            "global_average_pool",
            "global_average_pool2d",
            "global_average_pooling",
            "global_average_pooling2d",
            "global_pool",
            "gap",
        ],
        "write type = \"adaptive_avg_pool2d\" with output_size = 1",
    ),
    (
        &["global_max_pool", "global_max_pool2d", "global_max_pooling", "global_max_pooling2d", "gmp"],
        "write type = \"adaptive_max_pool2d\" with output_size = 1",
    ),
    (
        &["adaptive_avg_pool", "adaptive_average_pool2d", "adaptive_average_pooling2d"],
        "write type = \"adaptive_avg_pool2d\"",
    ),
    (&["adaptive_max_pool", "adaptive_max_pooling2d"], "write type = \"adaptive_max_pool2d\""),
    (
        &["adaptive_avg_pool1d", "global_avg_pool1d", "global_average_pool1d", "global_average_pooling1d"],
        "adaptive pools have two axes; over [channels, length], write type = \"avg_pool1d\" with the kernel_size that gives the length you want",
    ),
    (
        &["adaptive_max_pool1d", "global_max_pool1d", "global_max_pooling1d"],
        "adaptive pools have two axes; over [channels, length], write type = \"max_pool1d\" with the kernel_size that gives the length you want",
    ),
    (&["fractional_max_pool2d"], "there is no pooling with random windows"),
    (
        &["max_unpool", "max_unpooling2d", "unpool", "unpooling"],
        "write type = \"max_unpool2d\" with indices = the name of a max_pool2d",
    ),
    (&["max_unpool1d"], "there is no unpooling of one axis; max_unpool2d takes [channels, height, width]"),
    // Norms.
    (
        &["batchnorm", "bn", "batch_normalization", "sync_batch_norm", "synchronized_batch_norm"],
        "write type = \"batch_norm2d\" for [channels, height, width], \"batch_norm1d\" for [features] or [channels, length]",
    ),
    (
        &["instance_norm", "instance_norm1d", "instance_norm2d", "instance_normalization"],
        "write type = \"group_norm\" with num_groups = the number of channels (torch.nn.InstanceNorm2d has affine = false)",
    ),
    (&["layer_normalization", "ln"], "write type = \"layer_norm\""),
    (&["group_normalization", "gn"], "write type = \"group_norm\""),
    (&["lrn", "local_response_normalization", "cross_map_lrn2d"], "write type = \"local_response_norm\""),
    (&["rms_norm", "rms_normalization"], "there is no norm without the mean taken off; layer_norm takes it off"),
    (
        &["weight_norm", "spectral_norm", "unit_normalization", "normalize", "l2_norm", "norm"],
        "there is no such layer; the norms are batch_norm1d, batch_norm2d, group_norm, layer_norm and local_response_norm",
    ),
    // Activations.
    (&["swish"], "write type = \"silu\", PyTorch's word for swish"),
    (&["hswish"], "write type = \"hardswish\""),
    (&["hsigmoid"], "write type = \"hardsigmoid\", PyTorch's: x / 6 + 1 / 2, between 0 and 1"),
    (&["lrelu"], "write type = \"leaky_relu\""),
    (&["logistic"], "write type = \"sigmoid\""),
    (&["rectifier", "rectified_linear"], "write type = \"relu\""),
    (&["logsigmoid"], "there is no such layer; the loss \"bce_with_logits\" takes the logarithm of a sigmoid itself"),
    (
        &["hardtanh", "clamp", "clip", "relu1", "relun"],
        "there is no layer that cuts off at chosen bounds; relu6 cuts off at 0 and 6",
    ),
    (&["softmax2d", "spatial_softmax"], "write type = \"softmax\" with dim = 1"),
    (
        &[
            "mish",
            "softplus",
            "selu",
            "celu",
            "softsign",
            "softshrink",
            "hardshrink",
            "tanhshrink",
            "threshold",
            "glu",
            "softmin",
            "sin",
            "sine",
            "exp",
            "log",
            "abs",
            "pow",
            "sqrt",
            "square",
            "neg",
            "maxout",
            "swiglu",
            "geglu",
            "quick_gelu",
        ],
        "there is no such layer; the activations are elu, gelu, hardsigmoid, hardswish, leaky_relu, prelu, relu, relu6, rrelu, sigmoid, silu and tanh",
    ),
    (&["activation", "act", "nonlinearity"], "an activation is a layer of its own: type = \"relu\", and so on"),
    // Shapes.
    (
        &["unflatten", "reshape", "view", "squeeze", "unsqueeze", "expand", "repeat", "tile"],
        "there is no such layer: flatten alone gives a value another shape",
    ),
    (
        &[
            "permute",
            "transpose",
            "swapaxes",
            "channel_shuffle",
            "shuffle_channels",
            "pixel_shuffle",
            "pixel_unshuffle",
            "depth_to_space",
            "space_to_depth",
            "fold",
            "unfold",
            "roll",
        ],
        "there is no layer that moves elements to other places",
    ),
    (
        &["chunk", "split", "slice", "narrow", "crop", "center_crop", "select", "index", "gather", "take", "unbind"],
        "there is no layer that takes a part of a value",
    ),
    (
        &[
            "pad",
            "padding",
            "zero_pad",
            "zero_pad1d",
            "zero_pad2d",
            "zero_padding1d",
            "zero_padding2d",
            "constant_pad1d",
            "constant_pad2d",
        ],
        "there is no layer that only pads: write padding = … in the layer below",
    ),
    (
        &["reflection_pad", "reflection_pad1d", "reflection_pad2d", "reflect_pad", "mirror_pad"],
        "there is no layer that only pads: write padding = … and padding_mode = \"reflect\" in the convolution below",
    ),
    (
        &["replication_pad", "replication_pad1d", "replication_pad2d", "replicate_pad", "edge_pad"],
        "there is no layer that only pads: write padding = … and padding_mode = \"replicate\" in the convolution below",
    ),
    (
        &["circular_pad", "circular_pad1d", "circular_pad2d"],
        "there is no layer that only pads: write padding = … and padding_mode = \"circular\" in the convolution below",
    ),
    (
        &["interpolate", "resize", "upsampling", "upsampling2d", "upsampling_nearest2d", "unpool_nearest"],
        "write type = \"upsample\" with scale_factor",
    ),
    (
        &["upsampling_bilinear2d"],
        "write type = \"upsample\" with scale_factor, mode = \"bilinear\" and align_corners = true",
    ),
    // Several inputs.
    (&["cat", "concatenate", "merge", "join", "stack_channels", "depth_concat"], "write type = \"concat\" with inputs"),
    (
        &["plus", "sum", "residual", "shortcut", "skip", "skip_connection", "eltwise", "addition"],
        "write type = \"add\" with inputs",
    ),
    (&["multiply", "times", "product", "hadamard"], "write type = \"mul\" with inputs"),
    (
        &[
            "sub", "subtract", "minus", "div", "divide", "maximum", "minimum", "max", "min", "average", "dot",
            "matmul", "bmm", "einsum", "stack",
        ],
        "there is no such layer; several inputs go into add, mul and concat",
    ),
    (
        &["mean", "reduce_mean", "reduce_sum", "reduce_max", "argmax", "cumsum", "topk"],
        "there is no layer that sums up an axis; over whole maps there are adaptive_avg_pool2d and adaptive_max_pool2d",
    ),
    (
        &["scale", "layer_scale", "multiply_constant", "rescaling", "rescale"],
        "there is no layer of a factor alone; batch_norm2d has one for each channel",
    ),
    // Random layers.
    (&["spatial_dropout2d", "feature_dropout", "spatial_dropout"], "write type = \"dropout2d\""),
    (
        &[
            "dropout1d",
            "spatial_dropout1d",
            "feature_alpha_dropout",
            "alpha_dropout",
            "drop_path",
            "stochastic_depth",
            "drop_block",
            "gaussian_noise",
            "gaussian_dropout",
        ],
        "there is no such layer; dropout drops elements, and dropout2d whole maps",
    ),
    // What is no layer.
    (&["noop", "pass", "passthrough", "linear_activation", "none"], "write type = \"identity\""),
    (
        &["input", "input_layer", "placeholder", "data"],
        "inputs are no layers: write input = [channels, height, width] under [network]",
    ),
    (
        &["output", "output_layer"],
        "outputs are no layers: write outputs = [\"name\"] under [network], or leave it out for the last layer",
    ),
    (
        &[
            "cross_entropy",
            "cross_entropy_loss",
            "softmax_with_loss",
            "nll_loss",
            "mse_loss",
            "bce_loss",
            "bce_with_logits_loss",
            "l1_loss",
            "smooth_l1_loss",
            "loss",
        ],
        "losses are no layers: write loss = \"cross_entropy\" or another under [network]",
    ),
    (
        &["sequential", "module", "block", "model", "module_list", "residual_block", "basic_block", "bottleneck"],
        "a run of layers is a block: write [block.name] and [[block.name.layer]], and place it by block = \"name\"",
    ),
];

/// Types of three axes, whatever their names.
pub const THREE_AXES: &str =
    "there are no layers of three axes: a value is [features], [channels, length] or [channels, height, width]";
