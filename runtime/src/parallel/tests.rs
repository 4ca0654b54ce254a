use super::*;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

#[test]
fn every_task_runs_once_whatever_the_threads() {
    for n in [1, 2, 3, 5, 8] {
        with_threads(n, || {
            for tasks in [0, 1, 2, 3, 7, 64, 1000] {
                let counts: Vec<AtomicUsize> = (0..tasks).map(|_| AtomicUsize::new(0)).collect();
                for_each_worker(tasks, |worker, i| {
                    assert!(worker < n);
                    counts[i].fetch_add(1, Ordering::Relaxed);
                });
                assert!(counts.iter().all(|count| count.load(Ordering::Relaxed) == 1), "{n} threads, {tasks} tasks");
            }
        });
    }
}

#[test]
fn several_threads_do_take_part() {
    // Each task waits until the other has begun: on one thread this would never end.
    with_threads(2, || {
        let begun = AtomicUsize::new(0);
        let names = Mutex::new(Vec::new());
        for_each(2, |_| {
            begun.fetch_add(1, Ordering::SeqCst);
            while begun.load(Ordering::SeqCst) < 2 {
                std::thread::yield_now();
            }
            names.lock().unwrap().push(std::thread::current().name().map(str::to_owned));
        });
        assert!(names.into_inner().unwrap().contains(&Some("castnet-1".to_owned())));
    });
}

#[test]
fn many_short_loops() {
    with_threads(3, || {
        let mut numbers = vec![0u32; 37];
        for _ in 0..20_000 {
            for_each_chunk(&mut numbers, 5, |_, chunk| chunk.iter_mut().for_each(|x| *x += 1));
        }
        assert!(numbers.iter().all(|&x| x == 20_000));
    });
}

#[test]
fn loops_after_sleep() {
    with_threads(3, || {
        for pause in [1, 60, 200, 5000] {
            std::thread::sleep(std::time::Duration::from_micros(pause));
            let count = AtomicUsize::new(0);
            for_each(10, |_| {
                count.fetch_add(1, Ordering::Relaxed);
                std::thread::sleep(std::time::Duration::from_micros(100));
            });
            assert_eq!(count.into_inner(), 10);
        }
    });
}

#[test]
fn nested_loops_run_where_they_are() {
    with_threads(3, || {
        let count = AtomicUsize::new(0);
        for_each(4, |_| {
            assert_eq!(threads(), 1);
            let here = std::thread::current().id();
            for_each_worker(5, |worker, _| {
                assert_eq!((worker, std::thread::current().id()), (0, here));
                count.fetch_add(1, Ordering::Relaxed);
            });
        });
        assert_eq!((count.into_inner(), threads()), (20, 3));
    });
}

#[test]
fn loops_of_several_callers_at_once() {
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..200 {
                    let mut numbers = vec![0usize; 100];
                    for_each_chunk(&mut numbers, 7, |i, chunk| chunk.fill(i));
                    assert!(numbers.iter().enumerate().all(|(i, &x)| x == i / 7));
                }
            });
        }
    });
}

#[test]
fn a_panic_is_passed_on_and_the_pool_lives() {
    for n in [1, 2, 3] {
        with_threads(n, || {
            for bad in [0, 17, 99] {
                let caught = std::panic::catch_unwind(|| for_each(100, |i| assert!(i != bad, "task {i}")));
                assert_eq!(*caught.unwrap_err().downcast::<String>().unwrap(), format!("task {bad}"));
                let count = AtomicUsize::new(0);
                for_each(100, |_| {
                    count.fetch_add(1, Ordering::Relaxed);
                });
                assert_eq!((count.into_inner(), threads()), (100, n));
            }
        });
    }
}

#[test]
fn overrides_nest_and_are_bounded() {
    let before = threads();
    with_threads(2, || {
        with_threads(5, || assert_eq!(threads(), 5));
        with_threads(0, || assert_eq!(threads(), 1));
        with_threads(usize::MAX, || assert_eq!(threads(), 256));
        assert_eq!(threads(), 2);
    });
    assert_eq!(threads(), before);
}

#[test]
fn chunks_lie_beside_each_other() {
    for n in [1, 3] {
        with_threads(n, || {
            let (mut a, mut b, mut c) = (vec![0usize; 10], vec![0u8; 4], vec![0f32; 7]);
            for_each_chunk2(&mut a, 3, &mut b, 1, |i, a, b| {
                a.fill(i + 1);
                b.fill(i as u8 + 1);
            });
            assert_eq!((&a[..], &b[..]), (&[1, 1, 1, 2, 2, 2, 3, 3, 3, 4][..], &[1, 2, 3, 4][..]));
            for_each_chunk3(&mut a, 3, &mut b, 1, &mut c, 2, |i, a, b, c| {
                a.fill(0);
                b.fill(0);
                c.fill(i as f32);
            });
            assert_eq!(c, [0.0, 0.0, 1.0, 1.0, 2.0, 2.0, 3.0]);
            for_each_chunk::<u8>(&mut [], 0, |_, _| unreachable!());
            let unequal = std::panic::catch_unwind(|| for_each_chunk2(&mut [0; 4], 2, &mut [0; 4], 1, |_, _, _| {}));
            assert!(unequal.is_err());
        });
    }
}

#[test]
fn scratch_belongs_to_one_task_at_a_time() {
    with_threads(4, || {
        let mut scratch = vec![0usize; 4 * 8];
        for_each_scratch(&mut scratch, 8, 500, |mine, i| {
            mine.fill(i);
            std::hint::black_box(&mine);
            assert!(mine.len() == 8 && mine.iter().all(|&x| x == i));
        });
        let short = std::panic::catch_unwind(|| for_each_scratch(&mut [0; 31], 8, 500, |_, _| {}));
        assert!(short.is_err());
    });
}

#[test]
fn chunks_come_with_scratch() {
    with_threads(3, || {
        let (mut numbers, mut scratch) = (vec![0usize; 101], vec![0usize; 3 * 4]);
        for_each_chunk_scratch(&mut numbers, 10, &mut scratch, 4, |i, chunk, mine| {
            mine.fill(i);
            chunk.copy_from_slice(&[mine[3] + 1; 10][..chunk.len()]);
        });
        assert!(numbers.iter().enumerate().all(|(i, &n)| n == i / 10 + 1));
        for_each_chunk_scratch(&mut [0; 0], 10, &mut [0; 0], 4, |_, _, _| unreachable!());
    });
}

#[test]
fn tasks_are_neither_tiny_nor_too_many() {
    assert_eq!(items_per_task(1000, 1 << 15), 4);
    assert_eq!(items_per_task(10, 1 << 15), 1);
    assert_eq!(items_per_task(10, 100), 328);
    assert_eq!(items_per_task(0, 0), 1 << 15);
}
