//! A batch norm goes into the convolution or the linear layer before it, an addition and an activation into the call whose result they
//! take, where nothing else takes that result.

use super::operation::Operation;
use super::program::{Call, Id, Part, Program, read, write};
use crate::shape::Shaped;

/// Folds what can be folded into the calls before.
pub fn fuse(_: &Shaped, mut program: Program) -> Program {
    let takers = program.takers();
    let mut calls: Vec<Option<Call>> = std::mem::take(&mut program.calls).into_iter().map(Some).collect();
    let mut fused: Vec<Option<Call>> = vec![None; calls.len()];
    for at in 0..calls.len() {
        let Some(call) = calls[at].take() else { continue };
        let mut fold = Fold { program: &program, takers: &takers, calls: &mut calls, call, at };
        fold.norm();
        fold.residual();
        fold.activation();
        // It runs where its last layer stood: by then everything that it takes has been made.
        let Fold { call, at, .. } = fold;
        fused[at] = Some(call);
    }
    program.calls = fused.into_iter().flatten().collect();
    program.cut = program.calls.len();
    program
}

/// A call that takes in those that follow it.
struct Fold<'a> {
    program: &'a Program,
    takers: &'a [Vec<usize>],
    /// Those that are neither fused yet nor taken in.
    calls: &'a mut [Option<Call>],
    call: Call,
    /// The place of the last call in it.
    at: usize,
}

impl Fold<'_> {
    fn result(&self) -> Option<Id> {
        self.call.part(Part::Output)
    }

    /// The only call that takes the result, with its place. The caller takes a network's output, which can be folded into nothing.
    fn next(&self) -> Option<(usize, &Call)> {
        let result = self.result()?;
        match self.takers[result][..] {
            [one] if !self.program.outputs.contains(&result) => self.calls[one].as_ref().map(|call| (one, call)),
            _ => None,
        }
    }

    /// Takes in the call at a place: its result is the result of all.
    fn take(&mut self, at: usize) {
        let Some(taken) = self.calls[at].take() else { return };
        let result = taken.part(Part::Output);
        self.call.layers.extend(taken.layers);
        self.call.operands.retain(|operand| operand.part != Part::Output);
        self.call.operands.extend(result.map(|id| write(Part::Output, id)));
        self.at = at;
    }

    fn norm(&mut self) {
        let Some((at, Call { operation: Operation::Affine(affine), .. })) = self.next() else { return };
        let norm = affine.norm;
        if let Some(slot) = self.call.operation.norm_mut() {
            *slot = Some(norm);
            self.take(at);
        }
    }

    /// An addition of two values of one shape, the other of which is made elsewhere.
    fn residual(&mut self) {
        let (Operation::Convolution(_), Some(result)) = (&self.call.operation, self.result()) else { return };
        let Some((at, next)) = self.next() else { return };
        let others: Vec<Id> = next.inputs().filter(|&id| id != result).collect();
        let sum = matches!(&next.operation, Operation::Combine(combine) if !combine.product);
        let ([other], true) = (others.as_slice(), sum) else { return };
        let other = *other;
        if self.program.values[other].content == self.program.values[result].content {
            self.call.operands.push(read(Part::Residual, other));
            self.take(at);
        }
    }

    fn activation(&mut self) {
        let Some((at, Call { operation: Operation::Activation(activation), .. })) = self.next() else { return };
        let activation = *activation;
        if let Some(slot) = self.call.operation.activation_mut() {
            *slot = Some(activation);
            self.take(at);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::operation::Convolution;
    use super::super::testing::inference;
    use super::*;

    /// A call takes in one batch norm, one sum and one activation, in this order, and nothing twice.
    #[test]
    fn each_thing_is_folded_in_once() {
        let layer = |kind: &str| format!("[[layer]]\ntype = '{kind}'\n");
        let conv = "[[layer]]\ntype = 'conv2d'\nout_channels = 16\nkernel_size = 1\n";
        let norm = layer("batch_norm2d");
        let spec = |after: &str| format!("[network]\ninput = [16, 4, 4]\n{conv}{after}");
        let folded = |after: &str| -> Vec<usize> {
            inference(&spec(after))
                .calls
                .iter()
                .filter(|call| !call.layers.is_empty())
                .map(|call| call.layers.len())
                .collect()
        };
        assert_eq!(folded(&format!("{norm}{norm}")), [2, 1]);
        assert_eq!(folded(&format!("{}{}", layer("relu"), layer("relu"))), [2, 1]);
        assert_eq!(folded(&format!("{}{norm}", layer("relu"))), [2, 1]);
        assert_eq!(folded(&format!("{norm}{}{norm}{}", layer("relu"), layer("tanh"))), [3, 2]);
        let sums = "[[layer]]\nname = 'a'\ntype = 'add'\ninputs = ['conv2d1', 'input']\n\
                    [[layer]]\nname = 'b'\ntype = 'add'\ninputs = ['a', 'input']\n";
        assert_eq!(folded(sums), [2, 1]);
    }

    /// Of two convolutions whose sum is taken, the first takes the sum in.
    #[test]
    fn a_sum_is_folded_into_one() {
        let program = inference(
            "[network]\ninput = [16, 4, 4]\n[[layer]]\nname = 'a'\ntype = 'conv2d'\nout_channels = 16\nkernel_size = 1\n\
             [[layer]]\nname = 'b'\ntype = 'conv2d'\ninput = 'input'\nout_channels = 16\nkernel_size = 1\n\
             [[layer]]\ntype = 'add'\ninputs = ['a', 'b']\n",
        );
        let with_residual = |call: &&Call| call.part(Part::Residual).is_some();
        let convolutions =
            program.calls.iter().filter(|it| matches!(it.operation, Operation::Convolution(Convolution { .. })));
        assert_eq!(convolutions.clone().count(), 2);
        assert_eq!(convolutions.filter(with_residual).map(|call| call.layers.clone()).collect::<Vec<_>>(), [[0, 2]]);
    }
}
