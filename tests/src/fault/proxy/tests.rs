use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{Shutdown, TcpListener as StdListener, TcpStream as StdStream};
use std::time::{Duration, Instant};

use super::super::{Link, Way};
use super::*;

const LONG: Duration = Duration::from_secs(20);

/// A server that returns every byte; what it was sent is counted.
fn echo() -> (SocketAddr, Arc<AtomicU64>) {
    let listener = StdListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let heard: Arc<AtomicU64> = Arc::default();
    let counter = Arc::clone(&heard);
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let (mut stream, counter) = (stream.unwrap(), Arc::clone(&counter));
            std::thread::spawn(move || {
                let mut buffer = [0; 4096];
                while let Ok(count) = stream.read(&mut buffer) {
                    counter.fetch_add(count as u64, Ordering::Relaxed);
                    if count == 0 || stream.write_all(&buffer[..count]).is_err() {
                        break;
                    }
                }
            });
        }
    });
    (address, heard)
}

fn connect(proxy: &Proxy) -> StdStream {
    let stream = StdStream::connect(proxy.address()).unwrap();
    stream.set_read_timeout(Some(LONG)).unwrap();
    stream
}

/// Everything that comes down, and how it ends.
fn drain(stream: &mut StdStream) -> (Vec<u8>, Option<ErrorKind>) {
    let mut all = Vec::new();
    let end = stream.read_to_end(&mut all).err().map(|error| error.kind());
    (all, end)
}

fn wait_until(what: &str, mut condition: impl FnMut() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < LONG, "still waiting until {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn everything_passes_and_is_counted() {
    let (target, _) = echo();
    let proxy = Proxy::start(target).unwrap();
    let mut stream = connect(&proxy);
    let sent = vec![7; 100_000];
    let mut writer = stream.try_clone().unwrap();
    let writing = std::thread::spawn(move || {
        writer.write_all(&sent).unwrap();
        writer.shutdown(Shutdown::Write).unwrap();
    });
    assert_eq!(drain(&mut stream), (vec![7; 100_000], None));
    writing.join().unwrap();
    let counts = proxy.counts();
    assert_eq!(
        (counts.connections, counts.up, counts.down),
        (1, 100_000, 100_000)
    );
}

#[test]
fn nobody_listens_and_then_somebody_does_again() {
    let (target, _) = echo();
    let proxy = Proxy::start(target).unwrap();
    for _ in 0..3 {
        proxy.set(Fault::Refuse).unwrap();
        let refused = StdStream::connect(proxy.address()).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
        proxy.set(Fault::Pass).unwrap();
        let mut stream = connect(&proxy);
        stream.write_all(b"x").unwrap();
        stream.read_exact(&mut [0]).unwrap();
    }
}

#[test]
fn a_reset_comes_after_exactly_so_many_bytes() {
    let (target, heard) = echo();
    let proxy = Proxy::start(target).unwrap();
    for after in [1, 100] {
        proxy
            .set(Fault::Reset {
                way: Way::Down,
                after,
            })
            .unwrap();
        let mut stream = connect(&proxy);
        stream.write_all(&[1; 200]).unwrap();
        let (bytes, end) = drain(&mut stream);
        assert!(bytes.len() as u64 <= after, "{} of {after}", bytes.len());
        assert_eq!(end, Some(ErrorKind::ConnectionReset));
    }
    let before = heard.load(Ordering::Relaxed);
    proxy
        .set(Fault::Reset {
            way: Way::Up,
            after: 50,
        })
        .unwrap();
    let mut stream = connect(&proxy);
    stream.write_all(&[1; 200]).unwrap();
    assert_eq!(drain(&mut stream).1, Some(ErrorKind::ConnectionReset));
    assert_eq!(proxy.counts().shown, 1);
    assert!(heard.load(Ordering::Relaxed) - before <= 50);
    proxy
        .set(Fault::Reset {
            way: Way::Up,
            after: 0,
        })
        .unwrap();
    assert_eq!(drain(&mut connect(&proxy)).1, Some(ErrorKind::ConnectionReset));
}

#[test]
fn a_stalled_connection_stays_and_says_nothing_until_it_is_cut() {
    let (target, heard) = echo();
    let proxy = Proxy::start(target).unwrap();
    for up in [0, 10] {
        proxy.set(Fault::Stall { up }).unwrap();
        let before = heard.load(Ordering::Relaxed);
        let mut stream = connect(&proxy);
        stream.write_all(&[1; 200]).unwrap();
        wait_until("the fault was shown", || proxy.counts().shown == 1);
        assert_eq!(heard.load(Ordering::Relaxed), before + up);
        stream.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
        let silence = stream.take(200).read_to_end(&mut Vec::new()).unwrap_err();
        assert_eq!(silence.kind(), ErrorKind::WouldBlock);
    }
    let mut stream = connect(&proxy);
    stream.write_all(&[1; 200]).unwrap();
    wait_until("the fault was shown", || proxy.counts().shown == 2);
    proxy.cut();
    assert_eq!(drain(&mut stream).1, Some(ErrorKind::ConnectionReset));
}

#[test]
fn an_answer_is_lost_and_what_was_asked_is_done() {
    let (target, heard) = echo();
    let proxy = Proxy::start(target).unwrap();
    proxy.set(Fault::Swallow).unwrap();
    let mut stream = connect(&proxy);
    // A handshake record is answered, application data is not.
    let (hello, data) = ([22, 3, 1, 0, 1, 0], [23, 3, 3, 0, 1, 0]);
    stream.write_all(&hello).unwrap();
    stream.read_exact(&mut [0; 6]).unwrap();
    assert_eq!(proxy.counts().shown, 0);
    stream.write_all(&data).unwrap();
    wait_until("the answer was swallowed", || proxy.counts().shown == 1);
    assert_eq!(heard.load(Ordering::Relaxed), 12);
    proxy.cut();
    assert_eq!(drain(&mut stream), (Vec::new(), Some(ErrorKind::ConnectionReset)));
}

#[test]
fn half_a_connection_is_closed_and_the_other_half_goes_on() {
    let (target, heard) = echo();
    let proxy = Proxy::start(target).unwrap();
    proxy.set(Fault::HalfClose { after: 10 }).unwrap();
    let mut stream = connect(&proxy);
    stream.write_all(&[1; 10]).unwrap();
    assert_eq!(drain(&mut stream), (vec![1; 10], None));
    stream.write_all(&[1; 10]).unwrap();
    wait_until("the rest is heard", || heard.load(Ordering::Relaxed) == 20);
}

#[test]
fn a_trickle_begins_behind_the_handshake() {
    let (target, _) = echo();
    let proxy = Proxy::start(target).unwrap();
    let pause = Duration::from_millis(20);
    proxy.set(Fault::Trickle(pause)).unwrap();
    let mut stream = connect(&proxy);
    let data = [23, 3, 3, 0, 1, 0];
    let begin = Instant::now();
    stream.write_all(&data).unwrap();
    let mut answer = [0; 6];
    stream.read_exact(&mut answer).unwrap();
    assert_eq!(answer, data);
    assert!(begin.elapsed() >= 6 * pause);
    assert_eq!(proxy.counts().shown, 1);
}

#[test]
fn a_slow_line_is_never_faster_than_it_says_and_loses_nothing() {
    let (target, _) = echo();
    let proxy = Proxy::start(target).unwrap();
    let delay = Duration::from_millis(100);
    let link = Link {
        rate: Some(800_000),
        delay,
    };
    proxy.set(Fault::Slow(link)).unwrap();
    let mut stream = connect(&proxy);
    let sent: Vec<u8> = (0..20_000_u32).map(|k| k.to_le_bytes()[0]).collect();
    let begin = Instant::now();
    stream.write_all(&sent).unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    let (bytes, end) = drain(&mut stream);
    assert_eq!((bytes == sent, end), (true, None));
    // 20,000 bytes take 200 ms on such a line, and a delay each way.
    assert!(begin.elapsed() >= Duration::from_millis(200) + 2 * delay);
}

#[test]
fn a_script_chooses_for_each_connection() {
    let (target, _) = echo();
    let proxy = Proxy::start(target).unwrap();
    let odd = |number: u64| number % 2 == 1;
    proxy
        .script(move |number| if odd(number) { Fault::Refuse } else { Fault::Pass })
        .unwrap();
    for number in 0..6 {
        let mut stream = connect(&proxy);
        // What is reset already cannot be written to.
        let _ = stream.write_all(b"x");
        assert_eq!(stream.read_exact(&mut [0]).is_err(), odd(number), "{number}");
    }
    assert_eq!(proxy.counts().shown, 3);
}
