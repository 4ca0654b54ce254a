//! Programs of small networks before the first pass and after each, as text. After a change `cargo insta test --accept -p
//! castnet-compiler` writes them anew; read the difference.

use super::testing::shaped;
use super::{Kind, lower, text};

/// The program as it comes out of each pass that changes it.
fn passes(kind: Kind, spec: &str) -> String {
    let shaped = shaped(spec);
    let (mut all, mut last) = (String::new(), String::new());
    lower(&shaped, kind, |pass, program| {
        let text = text(&shaped, program);
        all.push_str(&format!("== {pass}"));
        all.push_str(if text == last { ": no change\n" } else { "\n" });
        if text != last {
            all.push_str(&text);
        }
        last = text;
    });
    all
}

const RESIDUAL: &str = "
[network]
input = [3, 8, 8]

[[layer]]
name = 'conv1'
type = 'conv2d'
out_channels = 16
kernel_size = 3
padding = 1

[[layer]]
name = 'bn1'
type = 'batch_norm2d'

[[layer]]
name = 'relu1'
type = 'relu'

[[layer]]
name = 'pool1'
type = 'max_pool2d'
kernel_size = 2

[[layer]]
name = 'conv2'
type = 'conv2d'
out_channels = 16
kernel_size = 3
stride = [1, 2]
padding = [1, 2]

[[layer]]
name = 'conv3'
type = 'conv2d'
input = 'pool1'
out_channels = 16
kernel_size = 1
stride = [1, 2]
padding = [0, 1]

[[layer]]
name = 'sum'
type = 'add'
inputs = ['conv2', 'conv3']

[[layer]]
name = 'drop'
type = 'dropout'

[[layer]]
name = 'joined'
type = 'concat'
inputs = ['drop', 'conv3']

[[layer]]
name = 'flat'
type = 'flatten'

[[layer]]
name = 'fc'
type = 'linear'
out_features = 4
";

#[test]
fn inference() {
    insta::assert_snapshot!(passes(Kind::Inference, RESIDUAL), @"
    == begin
    conv1 [16, 8, 8] = direct 3x3 convolution(input)
    bn1 [16, 8, 8] = affine(conv1)
    relu1 [16, 8, 8] = Relu(bn1)
    pool1 [16, 4, 4] = max_pool2d(relu1)
    conv2 [16, 4, 3] = direct 3x3/1x2 convolution(pool1)
    conv3 [16, 4, 3] = direct 1x1/1x2 convolution(pool1)
    sum [16, 4, 3] = sum(conv2, conv3)
    drop [16, 4, 3] = nothing(sum)
    joined [32, 4, 3] = concat(drop, conv3)
    flat [384] = flatten(joined)
    fc [4] = linear(flat)
    return fc
    == skip
    conv1 [16, 8, 8] = direct 3x3 convolution(input)
    bn1 [16, 8, 8] = affine(conv1)
    relu1 [16, 8, 8] = Relu(bn1)
    pool1 [16, 4, 4] = max_pool2d(relu1)
    conv2 [16, 4, 3] = direct 3x3/1x2 convolution(pool1)
    conv3 [16, 4, 3] = direct 1x1/1x2 convolution(pool1)
    sum [16, 4, 3] = sum(conv2, conv3)
    joined [32, 4, 3] = concat(sum, conv3)
    flat [384] = flatten(joined)
    fc [4] = linear(flat)
    return fc
    == fuse
    relu1 [16, 8, 8] = conv1 + bn1 + relu1: direct 3x3 convolution + norm + Relu(input)
    pool1 [16, 4, 4] = max_pool2d(relu1)
    conv3 [16, 4, 3] = direct 1x1/1x2 convolution(pool1)
    sum [16, 4, 3] = conv2 + sum: direct 3x3/1x2 convolution(pool1, plus conv3)
    joined [32, 4, 3] = concat(sum, conv3)
    flat [384] = flatten(joined)
    fc [4] = linear(flat)
    return fc
    == layouts
    relu1/blocked [16, 8, 8] = conv1 + bn1 + relu1: direct planar to blocked 3x3 convolution + norm + Relu(input)
    pool1/blocked [16, 4, 4] = max_pool2d(relu1/blocked)
    conv3/blocked [16, 4, 3] = direct 1x1/1x2 convolution(pool1/blocked)
    sum/blocked [16, 4, 3] = conv2 + sum: direct 3x3/1x2 convolution(pool1/blocked, plus conv3/blocked)
    joined/blocked [32, 4, 3] = concat(sum/blocked, conv3/blocked)
    joined [32, 4, 3] = to_plain(joined/blocked)
    fc [4] = linear(flat)
    return fc
    == select: no change
    == pools
    pool1/blocked [16, 4, 4] = conv1 + bn1 + relu1 + pool1: direct planar to blocked 3x3 convolution + norm + Relu + Max pool(input)
    conv3/blocked [16, 4, 3] = direct 1x1/1x2 convolution(pool1/blocked)
    sum/blocked [16, 4, 3] = conv2 + sum: direct 3x3/1x2 convolution(pool1/blocked, plus conv3/blocked)
    joined/blocked [32, 4, 3] = concat(sum/blocked, conv3/blocked)
    joined [32, 4, 3] = to_plain(joined/blocked)
    fc [4] = linear(flat)
    return fc
    == concat: no change
    == halos
    pool1/blocked [16, 4, 4] halo [1, 2, 1, 1] = conv1 + bn1 + relu1 + pool1: direct planar to blocked 3x3 convolution + norm + Relu + Max pool(input)
    conv3/blocked [16, 4, 3] = direct 1x1/1x2 convolution(pool1/blocked)
    sum/blocked [16, 4, 3] = conv2 + sum: direct 3x3/1x2 convolution(pool1/blocked, plus conv3/blocked)
    joined/blocked [32, 4, 3] = concat(sum/blocked, conv3/blocked)
    joined [32, 4, 3] = to_plain(joined/blocked)
    fc [4] = linear(flat)
    return fc
    == flatten
    pool1/blocked [16, 4, 4] halo [1, 2, 1, 1] = conv1 + bn1 + relu1 + pool1: direct planar to blocked 3x3 convolution + norm + Relu + Max pool(input)
    conv3/blocked [16, 4, 3] = direct 1x1/1x2 convolution(pool1/blocked)
    sum/blocked [16, 4, 3] = conv2 + sum: direct 3x3/1x2 convolution(pool1/blocked, plus conv3/blocked)
    joined/blocked [32, 4, 3] = concat(sum/blocked, conv3/blocked)
    fc [4] = linear on blocked [32, 4, 3](joined/blocked)
    return fc
    == cut
    -- a batch together
    pool1/blocked [16, 4, 4] halo [1, 2, 1, 1] = conv1 + bn1 + relu1 + pool1: direct planar to blocked 3x3 convolution + norm + Relu + Max pool(input)
    conv3/blocked [16, 4, 3] = direct 1x1/1x2 convolution(pool1/blocked)
    sum/blocked [16, 4, 3] = conv2 + sum: direct 3x3/1x2 convolution(pool1/blocked, plus conv3/blocked)
    joined/blocked [32, 4, 3] = concat(sum/blocked, conv3/blocked)
    fc [4] = linear on blocked [32, 4, 3](joined/blocked)
    return fc
    ");
}

const TWICE: &str = "
[network]
input = [2, 4, 4]

[[layer]]
name = 'conv'
type = 'conv2d'
out_channels = 2
kernel_size = 1

[[layer]]
name = 'drop'
type = 'dropout'

[[layer]]
name = 'twice'
type = 'mul'
inputs = ['drop', 'conv']

[[layer]]
name = 'flat'
type = 'flatten'
";

#[test]
fn evaluation() {
    insta::assert_snapshot!(passes(Kind::Evaluation, TWICE), @"
    == begin
    conv [2, 4, 4] = forward(input)
    drop [2, 4, 4] = forward(conv)
    twice [2, 4, 4] = forward(drop, conv)
    flat [32] = forward(twice)
    return flat
    == rename
    conv [2, 4, 4] = forward(input)
    twice [2, 4, 4] = forward(conv, conv)
    flat [32] = forward(twice)
    return flat
    ");
}

#[test]
fn training() {
    insta::assert_snapshot!(passes(Kind::Training, TWICE), @"
    == begin
    conv [2, 4, 4] = forward(input)
    drop [2, 4, 4], drop.saved = forward_train(conv)
    twice [2, 4, 4] = forward(drop, conv)
    flat [32] = forward(twice)
    return flat
    == rename: no change
    == gradient
    conv [2, 4, 4] = forward(input)
    drop [2, 4, 4], drop.saved = forward_train(conv)
    twice [2, 4, 4] = forward(drop, conv)
    flat [32] = forward(twice)
    -- backward
    twice.grad [2, 4, 4] = flat: backward_input_0(flat.grad)
    drop.grad [2, 4, 4] = twice: backward_input_0(drop, conv, twice.grad)
    conv.grad [2, 4, 4] = twice: backward_input_1(drop, conv, twice.grad)
    conv.grad2 [2, 4, 4] = drop: backward_input_0(drop.saved, drop.grad)
    accumulate(conv.grad2, conv.grad)
    conv: backward_parameters(input, conv.grad)
    input.grad [2, 4, 4] = conv: backward_input_0(conv.grad)    # only for gradients of inputs
    return flat
    ");
}
