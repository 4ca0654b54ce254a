//! The passes of the inference program: which calls a sample goes through alone, which a batch goes through together.

use super::items;

#[test]
fn the_tail_of_a_batch() {
    let conv = "name = 'conv'; type = 'conv2d'; out_channels = 16; kernel_size = 3";
    let fc1 = "name = 'fc1'; type = 'linear'; out_features = 512";
    let layers = [conv, "type = 'flatten'", fc1, "type = 'relu'", "name = 'fc2'; type = 'linear'; out_features = 10"];
    let names = ["frozen", "pack", "head", "head_pass", "tail", "tail_pass"];
    insta::assert_snapshot!(items("input = [16, 6, 6]", &layers, &names), @"
    /// The inference program.
    pub(super) const FROZEN: &castnet::FrozenInfo = &castnet::FrozenInfo {
        packed: FC2_PACKED.end,
        head: castnet::ArenaSize {
            fixed: 0,
            per_sample: 832,
        },
        tail: castnet::ArenaSize {
            fixed: 0,
            per_sample: 768,
        },
        crossing: &[(head::CONV_OUT, tail::CONV_OUT)],
        tail_batch: 32,
        pack: Some(pack),
        head_pass: Some(head_pass),
        tail_pass: Some(tail_pass),
    };
    /// Packs the weights of all layers.
    fn pack(tensors: &mut castnet::Tensors<'_>, packed: &mut [f32]) -> castnet::Result<()> {
        conv_pack(tensors, packed)?;
        fc1_pack(tensors, packed)?;
        fc2_pack(tensors, packed)?;
        Ok(())
    }
    /// Where values lie while samples go through the inference program one by one.
    mod head {
        use super::castnet;
        /// `[16, 4, 4]`, blocked
        pub(super) const CONV_OUT: castnet::Span = castnet::per_sample(576, 832);
        /// `[16, 6, 6]`, blocked
        pub(super) const INPUT_BLOCKED: castnet::Span = castnet::per_sample(0, 576);
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
        let [input_blocked, conv_out] = arena.get([head::INPUT_BLOCKED, head::CONV_OUT]);
        conv_frozen(context, packed, input_blocked, conv_out);
    }
    /// Where values lie while a batch goes through the inference program together.
    mod tail {
        use super::castnet;
        /// `[16, 4, 4]`, blocked
        pub(super) const CONV_OUT: castnet::Span = castnet::per_sample(512, 768);
        /// `[512]`
        pub(super) const RELU1_OUT: castnet::Span = castnet::per_sample(0, 512);
        /// `[10]`
        pub(super) const FC2_OUT: castnet::Span = castnet::per_sample(512, 522);
    }
    /// The layers that a batch goes through together.
    fn tail_pass(
        context: &mut castnet::Context,
        packed: &[f32],
        arena: &mut castnet::Arena,
    ) {
        let [conv_out, relu1_out] = arena.get([tail::CONV_OUT, tail::RELU1_OUT]);
        fc1_frozen(context, packed, conv_out, relu1_out);
        let [relu1_out, fc2_out] = arena.get([tail::RELU1_OUT, tail::FC2_OUT]);
        fc2_frozen(context, packed, relu1_out, fc2_out);
    }
    ");
}

/// Layers that take the statistics of the batch.
#[test]
fn the_whole_batch() {
    let layers = ["name = 'bn'; type = 'batch_norm2d'; track_running_stats = false"];
    let names = ["frozen", "bn", "tail", "tail_pass"];
    insta::assert_snapshot!(items("input = [4, 6, 6]", &layers, &names), @"
    /// The inference program.
    pub(super) const FROZEN: &castnet::FrozenInfo = &castnet::FrozenInfo {
        packed: BN_PACKED.end,
        head: castnet::ArenaSize {
            fixed: 0,
            per_sample: 0,
        },
        tail: castnet::ArenaSize {
            fixed: 16,
            per_sample: 288,
        },
        crossing: &[],
        tail_batch: usize::MAX,
        pack: Some(pack),
        head_pass: None,
        tail_pass: Some(tail_pass),
    };
    static BN: castnet::BatchNorm = castnet::BatchNorm {
        channels: 4,
        inner: 36,
        eps: 0.00001,
        momentum: 0.1,
    };
    const BN_PACKED: castnet::Range<usize> = castnet::blocked::part(0, 8);
    /// Copies the tensors of `bn`.
    fn bn_pack(
        tensors: &mut castnet::Tensors<'_>,
        packed: &mut [f32],
    ) -> castnet::Result<()> {
        tensors.copy([castnet::parameter(0..8)], &mut packed[BN_PACKED])
    }
    /// `bn` (batch_norm2d), net.toml:4, frozen: as in evaluation.
    fn bn_frozen(
        context: &mut castnet::Context,
        packed: &[f32],
        input: &[f32],
        output: &mut [f32],
        saved: &mut [f32],
    ) {
        let parameters = &packed[BN_PACKED];
        castnet::batch_norm::forward_train(
            context,
            &BN,
            input,
            Some(&parameters[0..4]),
            Some(&parameters[4..8]),
            None,
            output,
            saved,
        );
    }
    /// Where values lie while a batch goes through the inference program together.
    mod tail {
        use super::castnet;
        /// `[4, 6, 6]`
        pub(super) const INPUT: castnet::Span = castnet::per_sample(0, 144);
        /// `[4, 6, 6]`
        pub(super) const BN_OUT: castnet::Span = castnet::per_sample(144, 288);
        /// 8 floats for the batch
        pub(super) const BN_SAVED: castnet::Span = castnet::fixed(0, 8);
    }
    /// The layers that a batch goes through together.
    fn tail_pass(
        context: &mut castnet::Context,
        packed: &[f32],
        arena: &mut castnet::Arena,
    ) {
        let [input, bn_out, bn_saved] = arena
            .get([tail::INPUT, tail::BN_OUT, tail::BN_SAVED]);
        bn_frozen(context, packed, input, bn_out, bn_saved);
    }
    ");
}

#[test]
fn indices_of_a_pool() {
    let pool = "name = 'pool'; type = 'max_pool2d'; kernel_size = 2";
    let unpool = "name = 'unpool'; type = 'max_unpool2d'; kernel_size = 2; indices = 'pool'";
    insta::assert_snapshot!(items("input = [4, 6, 6]", &[pool, unpool], &["pool", "unpool", "head", "head_pass"]), @"
    static POOL: castnet::Pool2d = castnet::Pool2d {
        input: [4, 6, 6],
        output: [4, 3, 3],
        kernel: [2, 2],
        stride: [2, 2],
        padding: [0, 0],
        dilation: [1, 1],
    };
    /// `pool` (max_pool2d), net.toml:4, frozen: as in evaluation.
    fn pool_frozen(
        context: &mut castnet::Context,
        input: &[f32],
        output: &mut [f32],
        saved: &mut [f32],
    ) {
        castnet::max_pool2d::forward(context, &POOL, input, output, Some(saved));
    }
    static UNPOOL: castnet::MaxUnpool2d = castnet::MaxUnpool2d {
        input: [4, 3, 3],
        output: [4, 6, 6],
    };
    /// `unpool` (max_unpool2d), net.toml:9, frozen: as in evaluation.
    fn unpool_frozen(
        context: &mut castnet::Context,
        input: &[f32],
        indices: &[f32],
        output: &mut [f32],
    ) {
        castnet::max_unpool2d::forward(context, &UNPOOL, input, indices, output);
    }
    /// Where values lie while samples go through the inference program one by one.
    mod head {
        use super::castnet;
        /// `[4, 3, 3]`
        pub(super) const POOL_OUT: castnet::Span = castnet::per_sample(144, 180);
        /// 36 floats for each sample
        pub(super) const POOL_SAVED: castnet::Span = castnet::per_sample(192, 228);
        /// `[4, 6, 6]`
        pub(super) const UNPOOL_OUT: castnet::Span = castnet::per_sample(0, 144);
    }
    /// The layers that samples go through one by one.
    fn head_pass(
        context: &mut castnet::Context,
        _packed: &[f32],
        inputs: &[&[f32]],
        arena: &mut castnet::Arena,
    ) {
        let [pool_out, pool_saved] = arena.get([head::POOL_OUT, head::POOL_SAVED]);
        pool_frozen(context, inputs[0], pool_out, pool_saved);
        let [pool_out, pool_saved, unpool_out] = arena
            .get([head::POOL_OUT, head::POOL_SAVED, head::UNPOOL_OUT]);
        unpool_frozen(context, pool_out, pool_saved, unpool_out);
    }
    ");
}

/// More calls than a function has room for.
#[test]
fn parts() {
    let softmax = ["type = 'softmax'; dim = 1"; 201];
    insta::assert_snapshot!(items("input = [3]", &softmax, &["head_pass", "head_pass_2"]), @"
    /// The layers that samples go through one by one.
    fn head_pass(
        context: &mut castnet::Context,
        packed: &[f32],
        inputs: &[&[f32]],
        arena: &mut castnet::Arena,
    ) {
        head_pass_1(context, packed, inputs, arena);
        head_pass_2(context, packed, inputs, arena);
    }
    /// The layers that samples go through one by one. Part 2 of 2.
    fn head_pass_2(
        context: &mut castnet::Context,
        _packed: &[f32],
        _inputs: &[&[f32]],
        arena: &mut castnet::Arena,
    ) {
        let [softmax200_out, softmax201_out] = arena
            .get([head::SOFTMAX200_OUT, head::SOFTMAX201_OUT]);
        softmax201_frozen(context, softmax200_out, softmax201_out);
    }
    ");
}

/// Outputs, and an input that is one.
#[test]
fn several_inputs_and_outputs() {
    let header = "inputs = { a = [3], b = [3] }; outputs = ['copy', 'sum', 'scores']";
    let layers = [
        "name = 'copy'; type = 'identity'; input = 'a'",
        "name = 'sum'; type = 'add'; inputs = ['a', 'b']",
        "name = 'scores'; type = 'softmax'; dim = 1",
    ];
    insta::assert_snapshot!(items(header, &layers, &["frozen", "copy", "sum", "head", "head_pass"]), @"
    /// The inference program.
    pub(super) const FROZEN: &castnet::FrozenInfo = &castnet::FrozenInfo {
        packed: 0,
        head: castnet::ArenaSize {
            fixed: 0,
            per_sample: 48,
        },
        tail: castnet::ArenaSize {
            fixed: 0,
            per_sample: 48,
        },
        crossing: &[
            (head::COPY_OUT, tail::COPY_OUT),
            (head::SUM_OUT, tail::SUM_OUT),
            (head::SCORES_OUT, tail::SCORES_OUT),
        ],
        tail_batch: 32,
        pack: None,
        head_pass: Some(head_pass),
        tail_pass: None,
    };
    /// `copy` (identity), net.toml:5, frozen: as in evaluation.
    fn copy_frozen(context: &mut castnet::Context, input: &[f32], output: &mut [f32]) {
        castnet::elementwise::copy(context, input, output);
    }
    static SUM: castnet::Broadcast = castnet::Broadcast {
        output: [1, 1, 3],
        inputs: &[[1, 1, 3], [1, 1, 3]],
    };
    /// `sum` (add), net.toml:10, frozen: as in evaluation.
    fn sum_frozen(
        context: &mut castnet::Context,
        input_0: &[f32],
        input_1: &[f32],
        output: &mut [f32],
    ) {
        castnet::elementwise::add(context, &SUM, &[input_0, input_1], output);
    }
    /// Where values lie while samples go through the inference program one by one.
    mod head {
        use super::castnet;
        /// `[3]`
        pub(super) const COPY_OUT: castnet::Span = castnet::per_sample(0, 3);
        /// `[3]`
        pub(super) const SUM_OUT: castnet::Span = castnet::per_sample(16, 19);
        /// `[3]`
        pub(super) const SCORES_OUT: castnet::Span = castnet::per_sample(32, 35);
    }
    /// The layers that samples go through one by one.
    fn head_pass(
        context: &mut castnet::Context,
        _packed: &[f32],
        inputs: &[&[f32]],
        arena: &mut castnet::Arena,
    ) {
        let [copy_out] = arena.get([head::COPY_OUT]);
        copy_frozen(context, inputs[0], copy_out);
        let [sum_out] = arena.get([head::SUM_OUT]);
        sum_frozen(context, inputs[0], inputs[1], sum_out);
        let [sum_out, scores_out] = arena.get([head::SUM_OUT, head::SCORES_OUT]);
        scores_frozen(context, sum_out, scores_out);
    }
    ");
}
