//! Layers on blocked values without weights of a convolution.

use super::items;

const HEADER: &str = "input = [32, 6, 6]";

#[test]
fn max_pool() {
    let pool = "name = 'pool'; type = 'max_pool2d'; kernel_size = 3; stride = 2; padding = 1";
    insta::assert_snapshot!(items(HEADER, &[pool], &["pool"]), @"
    static POOL: castnet::Pool2d = castnet::Pool2d {
        input: [32, 6, 6],
        output: [32, 3, 3],
        kernel: [3, 3],
        stride: [2, 2],
        padding: [1, 1],
        dilation: [1, 1],
    };
    static POOL_FROZEN: castnet::blocked::OnBlocked<castnet::Pool2d> = castnet::blocked::OnBlocked {
        layer: POOL,
        input: castnet::blocked::Blocked::new(32, 6, 6),
        output: castnet::blocked::Blocked::new(32, 3, 3),
    };
    /// `pool` (max_pool2d), net.toml:4, frozen: on blocked maps.
    fn pool_frozen(context: &mut castnet::Context, input: &[f32], output: &mut [f32]) {
        castnet::blocked::max_pool2d::run(context, &POOL_FROZEN, input, output);
    }
    ");
}

#[test]
fn avg_pool() {
    let pool = "name = 'pool'; type = 'avg_pool2d'; kernel_size = 2; divisor_override = 3";
    insta::assert_snapshot!(items(HEADER, &[pool], &["pool"]), @"
    static POOL: castnet::AvgPool2d = castnet::AvgPool2d {
        pool: castnet::Pool2d {
            input: [32, 6, 6],
            output: [32, 3, 3],
            kernel: [2, 2],
            stride: [2, 2],
            padding: [0, 0],
            dilation: [1, 1],
        },
        count_include_pad: true,
        divisor: Some(3),
    };
    static POOL_FROZEN: castnet::blocked::OnBlocked<castnet::AvgPool2d> = castnet::blocked::OnBlocked {
        layer: POOL,
        input: castnet::blocked::Blocked::new(32, 6, 6),
        output: castnet::blocked::Blocked::new(32, 3, 3),
    };
    /// `pool` (avg_pool2d), net.toml:4, frozen: on blocked maps.
    fn pool_frozen(context: &mut castnet::Context, input: &[f32], output: &mut [f32]) {
        castnet::blocked::avg_pool2d::run(context, &POOL_FROZEN, input, output);
    }
    ");
}

#[test]
fn adaptive_avg_pool() {
    let pool = "name = 'pool'; type = 'adaptive_avg_pool2d'; output_size = 1";
    insta::assert_snapshot!(items(HEADER, &[pool], &["pool"]), @"
    static POOL: castnet::AdaptivePool2d = castnet::AdaptivePool2d {
        input: [32, 6, 6],
        output: [32, 1, 1],
    };
    static POOL_FROZEN: castnet::blocked::OnBlocked<castnet::AdaptivePool2d> = castnet::blocked::OnBlocked {
        layer: POOL,
        input: castnet::blocked::Blocked::new(32, 6, 6),
        output: castnet::blocked::Blocked::new(32, 1, 1),
    };
    /// `pool` (adaptive_avg_pool2d), net.toml:4, frozen: on blocked maps.
    fn pool_frozen(context: &mut castnet::Context, input: &[f32], output: &mut [f32]) {
        castnet::blocked::adaptive_avg_pool2d::run(context, &POOL_FROZEN, input, output);
    }
    ");
}

#[test]
fn adaptive_max_pool() {
    let pool = "name = 'pool'; type = 'adaptive_max_pool2d'; output_size = [4, 5]";
    insta::assert_snapshot!(items(HEADER, &[pool], &["pool"]), @"
    static POOL: castnet::AdaptivePool2d = castnet::AdaptivePool2d {
        input: [32, 6, 6],
        output: [32, 4, 5],
    };
    static POOL_FROZEN: castnet::blocked::OnBlocked<castnet::AdaptivePool2d> = castnet::blocked::OnBlocked {
        layer: POOL,
        input: castnet::blocked::Blocked::new(32, 6, 6),
        output: castnet::blocked::Blocked::new(32, 4, 5),
    };
    /// `pool` (adaptive_max_pool2d), net.toml:4, frozen: on blocked maps.
    fn pool_frozen(context: &mut castnet::Context, input: &[f32], output: &mut [f32]) {
        castnet::blocked::adaptive_max_pool2d::run(context, &POOL_FROZEN, input, output);
    }
    ");
}

#[test]
fn upsample() {
    let up = "name = 'up'; type = 'upsample'; scale_factor = 2; mode = 'bilinear'";
    insta::assert_snapshot!(items(HEADER, &[up], &["up"]), @"
    static UP: castnet::Upsample = castnet::Upsample {
        input: [32, 6, 6],
        output: [32, 12, 12],
        scale: [2.0, 2.0],
        mode: castnet::UpsampleMode::Bilinear,
    };
    static UP_FROZEN: castnet::blocked::OnBlocked<castnet::Upsample> = castnet::blocked::OnBlocked {
        layer: UP,
        input: castnet::blocked::Blocked::new(32, 6, 6),
        output: castnet::blocked::Blocked::new(32, 12, 12),
    };
    /// `up` (upsample), net.toml:4, frozen: on blocked maps.
    fn up_frozen(context: &mut castnet::Context, input: &[f32], output: &mut [f32]) {
        castnet::blocked::upsample::run(context, &UP_FROZEN, input, output);
    }
    ");
}

#[test]
fn affine() {
    let layers = ["name = 'bn'; type = 'batch_norm2d'", "type = 'relu'"];
    insta::assert_snapshot!(items(HEADER, &layers, &["bn"]), @"
    static BN_FROZEN: castnet::blocked::BlockedAffine = castnet::blocked::BlockedAffine {
        input: castnet::blocked::Blocked::new(32, 6, 6),
        output: castnet::blocked::Blocked::new(32, 6, 6),
        activation: Some(castnet::Activation::Relu),
    };
    const BN_PACKED: castnet::Range<usize> = castnet::blocked::part(
        0,
        castnet::blocked::affine::packed_len(&BN_FROZEN),
    );
    /// Packs the statistics of `bn`.
    fn bn_pack(
        tensors: &mut castnet::Tensors<'_>,
        packed: &mut [f32],
    ) -> castnet::Result<()> {
        let [norm_weight, norm_bias, mean, variance] = tensors
            .get([
                castnet::parameter(0..32),
                castnet::parameter(32..64),
                castnet::buffer(0..32),
                castnet::buffer(32..64),
            ])?;
        let norm = castnet::blocked::BatchNorm {
            weight: Some(norm_weight),
            bias: Some(norm_bias),
            mean,
            variance,
            eps: 0.00001,
        };
        castnet::blocked::affine::pack(&BN_FROZEN, &norm, &mut packed[BN_PACKED]);
        Ok(())
    }
    /// `bn` (batch_norm2d) + `relu1`, net.toml:4, frozen: a factor and an addend for each channel.
    fn bn_frozen(
        context: &mut castnet::Context,
        packed: &[f32],
        input: &[f32],
        output: &mut [f32],
    ) {
        castnet::blocked::affine::run(
            context,
            &BN_FROZEN,
            input,
            &packed[BN_PACKED],
            output,
        );
    }
    ");
}

#[test]
fn activation() {
    let layers = ["type = 'max_pool2d'; kernel_size = 2", "name = 'act'; type = 'silu'"];
    insta::assert_snapshot!(items(HEADER, &layers, &["act"]), @"
    static ACT_FROZEN: castnet::blocked::BlockedActivation = castnet::blocked::BlockedActivation {
        input: castnet::blocked::Blocked::new(32, 3, 3),
        output: castnet::blocked::Blocked::new(32, 3, 3),
        activation: castnet::Activation::Silu,
    };
    /// `act` (silu), net.toml:8, frozen: every element of a blocked map.
    fn act_frozen(context: &mut castnet::Context, input: &[f32], output: &mut [f32]) {
        castnet::blocked::activation::run(context, &ACT_FROZEN, input, output);
    }
    ");
}

const TWO: [&str; 2] = [
    "name = 'a'; type = 'conv2d'; out_channels = 32; kernel_size = 1",
    "name = 'b'; type = 'max_pool2d'; kernel_size = 1; input = 'input'",
];

#[test]
fn sum() {
    let layers = [TWO[0], TWO[1], "name = 'sum'; type = 'add'; inputs = ['a', 'b', 'input']", "type = 'relu'"];
    insta::assert_snapshot!(items(HEADER, &layers, &["sum"]), @"
    static SUM_FROZEN: castnet::blocked::BlockedCombine = castnet::blocked::BlockedCombine {
        product: false,
        inputs: &[
            castnet::blocked::Blocked::new(32, 6, 6),
            castnet::blocked::Blocked::new(32, 6, 6),
            castnet::blocked::Blocked::new(32, 6, 6),
        ],
        output: castnet::blocked::Blocked::new(32, 6, 6),
        activation: Some(castnet::Activation::Relu),
    };
    /// `sum` (add) + `relu1`, net.toml:16, frozen: a sum of blocked maps.
    fn sum_frozen(
        context: &mut castnet::Context,
        input_0: &[f32],
        input_1: &[f32],
        input_2: &[f32],
        output: &mut [f32],
    ) {
        castnet::blocked::combine::run(
            context,
            &SUM_FROZEN,
            &[input_0, input_1, input_2],
            output,
        );
    }
    ");
}

/// Channels that are weighted by one number each.
#[test]
fn product() {
    let pool = "name = 'gate'; type = 'adaptive_avg_pool2d'; output_size = 1";
    let layers = [TWO[0], pool, "name = 'product'; type = 'mul'; inputs = ['a', 'gate']"];
    insta::assert_snapshot!(items(HEADER, &layers, &["product"]), @"
    static PRODUCT_FROZEN: castnet::blocked::BlockedCombine = castnet::blocked::BlockedCombine {
        product: true,
        inputs: &[
            castnet::blocked::Blocked::new(32, 6, 6),
            castnet::blocked::Blocked::new(32, 1, 1),
        ],
        output: castnet::blocked::Blocked::new(32, 6, 6),
        activation: None,
    };
    /// `product` (mul), net.toml:15, frozen: a product of blocked maps.
    fn product_frozen(
        context: &mut castnet::Context,
        input_0: &[f32],
        input_1: &[f32],
        output: &mut [f32],
    ) {
        castnet::blocked::combine::run(
            context,
            &PRODUCT_FROZEN,
            &[input_0, input_1],
            output,
        );
    }
    ");
}

/// 8 channels in front: the others' blocks would begin in the middle of one.
#[test]
fn copied_concatenation() {
    let few = "name = 'few'; type = 'conv2d'; out_channels = 8; kernel_size = 1; input = 'input'";
    let layers = [few, TWO[0], "name = 'both'; type = 'concat'; inputs = ['few', 'a']"];
    insta::assert_snapshot!(items(HEADER, &layers, &["both"]), @"
    static BOTH_FROZEN: castnet::blocked::BlockedConcat = castnet::blocked::BlockedConcat {
        inputs: &[
            castnet::blocked::Blocked::new(8, 6, 6),
            castnet::blocked::Blocked::new(32, 6, 6),
        ],
        output: castnet::blocked::Blocked::new(40, 6, 6),
    };
    /// `both` (concat), net.toml:17, frozen: copies blocked maps one behind the other.
    fn both_frozen(
        context: &mut castnet::Context,
        input_0: &[f32],
        input_1: &[f32],
        output: &mut [f32],
    ) {
        castnet::blocked::concat::run(context, &BOTH_FROZEN, &[input_0, input_1], output);
    }
    ");
}

#[test]
fn concatenation_in_place() {
    let after = "name = 'after'; type = 'conv2d'; out_channels = 16; kernel_size = 1";
    let layers = [TWO[0], TWO[1], "name = 'both'; type = 'concat'; inputs = ['a', 'b']", after];
    insta::assert_snapshot!(items(HEADER, &layers, &["a_frozen", "b_frozen", "after_frozen", "head", "head_pass"]), @"
    static A_FROZEN: castnet::blocked::BlockedConv2d = castnet::blocked::BlockedConv2d {
        input: castnet::blocked::Blocked::new(32, 6, 6),
        output: castnet::blocked::Blocked::new(32, 6, 6).within(0, 4),
        kernel: [1, 1],
        stride: [1, 1],
        padding: [0, 0],
        dilation: [1, 1],
        groups: 1,
        residual: None,
        activation: None,
    };
    /// `a` (conv2d), net.toml:4, frozen: direct convolution, by the model 0.5 µs on one core.
    fn a_frozen(
        context: &mut castnet::Context,
        packed: &[f32],
        input: &[f32],
        output: &mut [f32],
    ) {
        castnet::blocked::direct::run(
            context,
            &A_FROZEN,
            input,
            &packed[A_PACKED],
            None,
            output,
        );
    }
    static B_FROZEN: castnet::blocked::OnBlocked<castnet::Pool2d> = castnet::blocked::OnBlocked {
        layer: B,
        input: castnet::blocked::Blocked::new(32, 6, 6),
        output: castnet::blocked::Blocked::new(32, 6, 6).within(2, 4),
    };
    /// `b` (max_pool2d), net.toml:10, frozen: on blocked maps.
    fn b_frozen(context: &mut castnet::Context, input: &[f32], output: &mut [f32]) {
        castnet::blocked::max_pool2d::run(context, &B_FROZEN, input, output);
    }
    static AFTER_FROZEN: castnet::blocked::BlockedConv2d = castnet::blocked::BlockedConv2d {
        input: castnet::blocked::Blocked::new(64, 6, 6),
        output: castnet::blocked::Blocked::new(16, 6, 6),
        kernel: [1, 1],
        stride: [1, 1],
        padding: [0, 0],
        dilation: [1, 1],
        groups: 1,
        residual: None,
        activation: None,
    };
    /// `after` (conv2d), net.toml:21, frozen: direct convolution, by the model 0.5 µs on one core.
    fn after_frozen(
        context: &mut castnet::Context,
        packed: &[f32],
        input: &[f32],
        output: &mut [f32],
    ) {
        castnet::blocked::direct::run(
            context,
            &AFTER_FROZEN,
            input,
            &packed[AFTER_PACKED],
            None,
            output,
        );
    }
    /// Where values lie while samples go through the inference program one by one.
    mod head {
        use super::castnet;
        /// `[64, 6, 6]`, blocked
        pub(super) const BOTH_OUT: castnet::Span = castnet::per_sample(0, 2304);
        /// `[16, 6, 6]`, blocked
        pub(super) const AFTER_OUT: castnet::Span = castnet::per_sample(2304, 2880);
        /// `[32, 6, 6]`, blocked
        pub(super) const INPUT_BLOCKED: castnet::Span = castnet::per_sample(2304, 3456);
        /// `[16, 6, 6]`
        pub(super) const AFTER_OUT_PLAIN: castnet::Span = castnet::per_sample(0, 576);
    }
    /// The layers that samples go through one by one.
    fn head_pass(
        context: &mut castnet::Context,
        packed: &[f32],
        inputs: &[&[f32]],
        arena: &mut castnet::Arena,
    ) {
        let [input_blocked] = arena.get([head::INPUT_BLOCKED]);
        input_to_blocked(context, inputs[0], input_blocked);
        let [input_blocked, both_out] = arena.get([head::INPUT_BLOCKED, head::BOTH_OUT]);
        a_frozen(context, packed, input_blocked, both_out);
        let [input_blocked, both_out] = arena.get([head::INPUT_BLOCKED, head::BOTH_OUT]);
        b_frozen(context, input_blocked, both_out);
        let [both_out, after_out] = arena.get([head::BOTH_OUT, head::AFTER_OUT]);
        after_frozen(context, packed, both_out, after_out);
        let [after_out, after_out_plain] = arena
            .get([head::AFTER_OUT, head::AFTER_OUT_PLAIN]);
        after_out_to_plain(context, after_out, after_out_plain);
    }
    ");
}
