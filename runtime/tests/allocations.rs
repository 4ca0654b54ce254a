//! A steady loop allocates nothing.

#[path = "handwritten/mlp.rs"]
mod mlp;

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering};

use castnet::ndarray::Array2;
use castnet::{Adam, AdamW, Optimizer, Sgd, Tape, Trainer};
use mlp::Mlp;

/// The system's allocator, with a count of what it is asked for on any thread.
struct Counting;

static ALLOCATIONS: AtomicUsize = AtomicUsize::new(0);

// SAFETY: every call is passed on to the system's allocator as it is.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        // SAFETY: the caller's promise is passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        // SAFETY: the caller's promise is passed on.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        // SAFETY: the caller's promise is passed on.
        unsafe { System.realloc(pointer, layout, size) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise is passed on.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

/// Allocations of ten turns of a loop, after turns that made room. The least of several counts: the test harness's own
/// thread may allocate meanwhile, but not every time.
fn allocations(mut turn: impl FnMut()) -> usize {
    (0..3).for_each(|_| turn());
    let count = |_| {
        let before = ALLOCATIONS.load(Ordering::Relaxed);
        (0..10).for_each(|_| turn());
        ALLOCATIONS.load(Ordering::Relaxed) - before
    };
    (0..5).map(count).min().expect("there are several counts")
}

fn training(optimizer: impl Optimizer) -> usize {
    let mut trainer = Trainer::new(Mlp::new(1), optimizer);
    let inputs = Array2::from_elem((32, 12), 0.5);
    let labels = [3u8; 32];
    let mut batch = 0;
    allocations(|| {
        // Smaller batches, the last of an epoch, need no room of their own; strides make no difference.
        batch = (batch + 1) % 2;
        let samples = 32 - 10 * batch;
        let inputs = inputs.slice(castnet::ndarray::s![..samples;-1, ..]);
        trainer.step(inputs, &labels[..samples]).unwrap();
    })
}

// One test, so that no other runs at the same time.
#[test]
fn a_steady_loop_allocates_nothing() {
    let counted = allocations(|| drop(std::hint::black_box(Box::new([0.0; 1000]))));
    assert!(counted >= 10, "the count itself works");

    let net = Mlp::new(1);
    assert_eq!(allocations(|| assert!(net.predict(&[0.5; 12])[0].is_finite())), 0, "predict");

    let inputs = Array2::from_elem((32, 12), 0.5);
    let mut outputs = Array2::zeros((32, 5));
    assert_eq!(allocations(|| net.forward_into(inputs.view(), &mut outputs).unwrap()), 0, "forward_into");

    assert_eq!(training(Sgd::new(0.1)), 0, "sgd");
    assert_eq!(training(Sgd::new(0.1).momentum(0.9).nesterov(true)), 0, "sgd with momentum");
    assert_eq!(training(Adam::new(0.1)), 0, "adam");
    assert_eq!(training(AdamW::new(0.1)), 0, "adamw");

    let mut net = Mlp::new(1);
    let mut tape = Tape::new();
    let mut optimizer = Sgd::new(0.1);
    let upstream = Array2::from_elem((32, 5), 0.1);
    let pieces = allocations(|| {
        net.forward_train(&mut tape, inputs.view()).unwrap();
        assert_eq!(tape.outputs().shape(), [32, 5]);
        net.backward(&mut tape, upstream.view()).unwrap();
        tape.accumulate(0.5).unwrap();
        optimizer.step(net.parameters_mut(), tape.accumulated()).unwrap();
        tape.clear_accumulated();
    });
    assert_eq!(pieces, 0, "the pieces of a step");

    let mut trainer = Trainer::new(net, optimizer);
    let parts = allocations(|| {
        trainer.accumulate(inputs.view(), &[1usize; 32]).unwrap();
        trainer.accumulate(inputs.view(), &[2usize; 32]).unwrap();
        trainer.apply().unwrap();
    });
    assert_eq!(parts, 0, "a step in parts");
}
