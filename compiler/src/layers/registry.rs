//! The types of layers that there are: one line each.

use crate::layers::contract::LayerType;
use crate::layers::{
    activation, adaptive_pool, batch_norm, combine, concat, conv, conv_transpose, dropout, flatten, group_norm,
    layer_norm, linear, local_response_norm, max_unpool, pool, prelu, rrelu, softmax, upsample,
};

/// Every type of layer. Of two that are equally near to an unknown word the first is proposed: what people mean most comes first.
pub static LAYERS: &[LayerType] = &[
    activation::ELU,
    activation::GELU,
    activation::HARDSIGMOID,
    activation::HARDSWISH,
    activation::LEAKY_RELU,
    activation::RELU,
    activation::RELU6,
    activation::SIGMOID,
    activation::SILU,
    activation::TANH,
    adaptive_pool::ADAPTIVE_AVG_POOL2D,
    adaptive_pool::ADAPTIVE_MAX_POOL2D,
    batch_norm::BATCH_NORM2D,
    batch_norm::BATCH_NORM1D,
    combine::ADD,
    combine::MUL,
    concat::CONCAT,
    conv::CONV2D,
    conv::CONV1D,
    conv_transpose::CONV_TRANSPOSE2D,
    dropout::DROPOUT,
    dropout::DROPOUT2D,
    flatten::FLATTEN,
    flatten::IDENTITY,
    group_norm::GROUP_NORM,
    layer_norm::LAYER_NORM,
    linear::LINEAR,
    local_response_norm::LOCAL_RESPONSE_NORM,
    max_unpool::MAX_UNPOOL2D,
    pool::AVG_POOL2D,
    pool::AVG_POOL1D,
    pool::MAX_POOL2D,
    pool::MAX_POOL1D,
    pool::LP_POOL2D,
    prelu::PRELU,
    rrelu::RRELU,
    softmax::LOG_SOFTMAX,
    softmax::SOFTMAX,
    upsample::UPSAMPLE,
];

/// Finds a type by its name.
pub fn find(name: &str) -> Option<&'static LayerType> {
    LAYERS.iter().find(|layer| layer.name == name)
}
