//! Words that arguments take, in other frameworks' words.

/// Words that a key takes, and the words that are meant by them where the key takes one of those.
pub const WORDS: &[(&[&str], &str)] = &[
    // Losses.
    (
        &[
            "ce",
            "cross_entropy_loss",
            "softmax_cross_entropy",
            "categorical_crossentropy",
            "sparse_categorical_crossentropy",
            "softmax_with_loss",
        ],
        "cross_entropy",
    ),
    (&["nll_loss", "negative_log_likelihood"], "nll"),
    (&["mse_loss", "mean_squared_error", "l2", "l2_loss", "squared_error"], "mse"),
    (&["mae", "l1_loss", "mean_absolute_error", "absolute_error"], "l1"),
    (&["smooth_l1_loss"], "smooth_l1"),
    (&["bce_loss", "binary_cross_entropy", "binary_crossentropy"], "bce"),
    (
        &["bce_with_logits_loss", "bce_logits", "binary_cross_entropy_with_logits", "sigmoid_cross_entropy"],
        "bce_with_logits",
    ),
    // Initialisation.
    (&["he", "he_uniform", "kaiming", "kaiming_uniform_"], "kaiming_uniform"),
    (&["he_normal", "msra", "kaiming_normal_"], "kaiming_normal"),
    (&["glorot", "glorot_uniform", "xavier", "xavier_uniform_"], "xavier_uniform"),
    (&["glorot_normal", "xavier_normal_"], "xavier_normal"),
    // Padding.
    (&["zero", "constant"], "zeros"),
    (&["one"], "ones"),
    (&["none", "no", "explicit"], "valid"),
    (&["same_upper"], "same"),
    (&["reflection", "mirror", "reflect_101"], "reflect"),
    (&["edge", "replication", "border", "clamp"], "replicate"),
    (&["wrap", "periodic", "cyclic"], "circular"),
    // Upsampling.
    (&["nearest_neighbor", "nearest_neighbour"], "nearest"),
];

/// Words of other frameworks for which a key has none: key, words, answer.
pub const OTHER_WORDS: &[(&str, &[&str], &str)] = &[
    ("loss", &["huber", "huber_loss"], "smooth_l1 is the Huber loss with delta = 1"),
    (
        "loss",
        &[
            "hinge",
            "kl_div",
            "kl_divergence",
            "kld",
            "focal",
            "focal_loss",
            "dice",
            "dice_loss",
            "ctc",
            "ctc_loss",
            "triplet",
            "triplet_margin",
            "cosine",
            "cosine_embedding",
            "poisson_nll",
            "gaussian_nll",
            "multi_margin",
            "soft_margin",
            "margin_ranking",
            "hinge_embedding",
        ],
        "there is no such loss; a trainer's parts take any gradient of the outputs",
    ),
    (
        "init",
        &["normal", "gaussian", "random_normal", "normal_", "randn"],
        "write init = { normal = 0.01 }, with the standard deviation",
    ),
    (
        "init",
        &["uniform", "random_uniform", "uniform_", "rand", "random"],
        "write init = { uniform = 0.1 }, with the bound",
    ),
    ("init", &["constant", "default"], "leave init out for PyTorch's own; \"zeros\" and \"ones\" are the constants"),
    (
        "init",
        &[
            "orthogonal",
            "trunc_normal",
            "truncated_normal",
            "lecun_normal",
            "lecun_uniform",
            "dirac",
            "eye",
            "identity",
            "sparse",
            "variance_scaling",
        ],
        "there is no such init; parameters can be set from a file instead",
    ),
    (
        "padding",
        &["same_lower"],
        "\"same\" puts the odd pixel behind, as PyTorch does; there is no word for one in front",
    ),
    ("padding", &["causal", "full", "half"], "write the number of pixels"),
    ("padding", &["zeros", "reflect", "replicate", "circular"], "padding says how far; this is a padding_mode"),
    (
        "padding_mode",
        &["symmetric"],
        "there is no mode that repeats the border's pixel in reflecting; \"reflect\" leaves it out",
    ),
    ("padding_mode", &["same", "valid"], "padding_mode says with what; this is a padding"),
    (
        "mode",
        &["bicubic", "cubic", "lanczos", "area", "trilinear", "nearest_exact", "antialias"],
        "there is no such mode",
    ),
    ("mode", &["linear"], "for maps write \"bilinear\""),
];
