//! Loops over registers, written out.

/// Repeats a block with `$i` = 0, 1, … below `$n`, each a constant: an accumulator array indexed by anything else is laid on the
/// stack, and whether LLVM unrolls a loop completely depends on a size limit that 14 x 2 products exceed.
///
/// The block is written out once for each number below the bound that follows, those from `$n` on being left out later: loops within
/// loops with bounds larger than needed are what compiling castnet takes longest for.
macro_rules! unroll {
    ($i:ident < $n:ident <= 2, $body:block) => { unroll!(@ $i $n 2 $body 0 1) };
    ($i:ident < $n:ident <= 4, $body:block) => { unroll!(@ $i $n 4 $body 0 1 2 3) };
    ($i:ident < $n:ident <= 5, $body:block) => { unroll!(@ $i $n 5 $body 0 1 2 3 4) };
    ($i:ident < $n:ident <= 6, $body:block) => { unroll!(@ $i $n 6 $body 0 1 2 3 4 5) };
    ($i:ident < $n:ident <= 7, $body:block) => { unroll!(@ $i $n 7 $body 0 1 2 3 4 5 6) };
    ($i:ident < $n:ident <= 8, $body:block) => { unroll!(@ $i $n 8 $body 0 1 2 3 4 5 6 7) };
    ($i:ident < $n:ident <= 14, $body:block) => { unroll!(@ $i $n 14 $body 0 1 2 3 4 5 6 7 8 9 10 11 12 13) };
    (@ $i:ident $n:ident $most:literal $body:block $($k:literal)*) => {
        const { assert!($n <= $most, "more turns than are written out") };
        $({
            const $i: usize = $k;
            if $i < $n $body
        })*
    };
}
pub(in crate::blocked) use unroll;
