//! LeNet-5 in a program without the standard library and without a heap: its weights and ten digits are built into it, and its memory
//! is an array. What it needs of a system is three functions of C: the `main` that is called, `write` and `abort`.

#![no_std]
#![no_main]

mod memory;

use core::ffi::{c_int, c_void};
use core::fmt::{self, Write};
use core::panic::PanicInfo;

/// The network, with the weights that the example `mnist` has trained.
#[castnet::network("../../specs/lenet5.toml", weights = "lenet5.safetensors")]
pub struct LeNet5;

/// Ten of MNIST's test digits, 0 to 9, in MNIST's format: 16 bytes that say what it is, then 28 x 28 bytes for each.
const DIGITS: &[u8] = include_bytes!("digits.idx3-ubyte");

#[link(name = "c")]
unsafe extern "C" {
    fn write(file: c_int, bytes: *const c_void, count: usize) -> isize;
    fn abort() -> !;
}

#[unsafe(no_mangle)]
extern "C" fn main() -> c_int {
    if run() == 10 { 0 } else { 1 }
}

/// Reads every digit; returns how many it read right.
fn run() -> usize {
    let net = LeNet5::pretrained_frozen();
    let (digits, _) = DIGITS[16..].as_chunks::<28>();
    let mut right = 0;
    let mut after_first = 0;
    for (digit, rows) in digits.chunks_exact(28).enumerate() {
        // As the network saw digits while it was trained: by the mean and the standard deviation of MNIST's pixels.
        let image = [core::array::from_fn(|y| rows[y].map(|pixel| (f32::from(pixel) / 255.0 - 0.1307) / 0.3081))];
        let scores = net.predict(&image);
        let read = (0..10).fold(0, |best, class| if scores[class] > scores[best] { class } else { best });
        _ = writeln!(Console(1), "{digit} is read as {read}");
        right += usize::from(read == digit);
        if digit == 0 {
            after_first = memory::used();
        }
    }
    let kib = |bytes: usize| bytes.div_ceil(1024);
    let more = memory::used() - after_first;
    _ = writeln!(Console(1), "memory: {} KiB, of which {} after the first digit", kib(memory::used()), kib(more));
    right
}

/// Standard output (1) or standard error (2).
struct Console(c_int);

impl Write for Console {
    fn write_str(&mut self, mut text: &str) -> fmt::Result {
        while !text.is_empty() {
            // SAFETY: the pointer and the length are those of a string that lives.
            let written = unsafe { write(self.0, text.as_ptr().cast(), text.len()) };
            let rest = usize::try_from(written).ok().filter(|&count| count > 0).and_then(|count| text.get(count..));
            text = rest.ok_or(fmt::Error)?;
        }
        Ok(())
    }
}

/// What a panic would call on its way up the stack: `core` and `alloc`, as Rust ships them, name it. Here no panic goes up.
#[unsafe(no_mangle)]
extern "C" fn rust_eh_personality() {}

/// As above.
#[unsafe(no_mangle)]
extern "C" fn _Unwind_Resume() -> ! {
    // SAFETY: `abort` may be called at any time.
    unsafe { abort() }
}

#[panic_handler]
fn panic(info: &PanicInfo<'_>) -> ! {
    _ = writeln!(Console(2), "{info}");
    // SAFETY: `abort` may be called at any time.
    unsafe { abort() }
}
