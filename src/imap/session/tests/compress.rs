//! COMPRESS=DEFLATE. RFC 4978.

use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress};

use super::*;

/// The client side of a compressed session.
struct Client {
    session: Session,
    deflate: Compress,
    inflate: Decompress,
    open: bool,
}

impl Client {
    fn new() -> Self {
        let transcript = format!(
            "{GREETING}
            C: a0 LOGIN ann secret
            S: a0 {WELCOME}
            C: a1 COMPRESS DEFLATE
            S: a1 OK DEFLATE active"
        );
        Self {
            session: play_in_chunks(&config(), &transcript, 5),
            deflate: Compress::new(Compression::best(), false),
            inflate: Decompress::new(false),
            open: true,
        }
    }

    fn deflated(&mut self, text: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(text.len() + 1000);
        self.deflate.compress_vec(text, &mut bytes, FlushCompress::Sync).unwrap();
        bytes
    }

    /// The replies to these bytes, sent in chunks of this size.
    fn exchange(&mut self, bytes: &[u8], size: usize) -> String {
        let mut output = Vec::new();
        for chunk in bytes.chunks(size) {
            self.session.receive(chunk);
            self.open = run(&mut self.session, &mut output).is_some();
        }
        self.inflated(&output)
    }

    fn inflated(&mut self, output: &[u8]) -> String {
        let (mut text, start) = (Vec::new(), self.inflate.total_in());
        loop {
            text.reserve(100_000);
            let taken = (self.inflate.total_in() - start) as usize;
            self.inflate.decompress_vec(&output[taken..], &mut text, FlushDecompress::None).unwrap();
            let all = (self.inflate.total_in() - start) as usize == output.len();
            if all && text.len() < text.capacity() {
                return String::from_utf8(text).unwrap();
            }
        }
    }

    fn send(&mut self, text: &str) -> String {
        let bytes = self.deflated(text.as_bytes());
        self.exchange(&bytes, usize::MAX)
    }
}

/// RFC 4978 §3.
#[test]
fn compress_applies_to_both_directions_after_ok_and_each_reply_is_complete() {
    for size in [1, 2, 7, usize::MAX] {
        let mut client = Client::new();
        for (command, answer) in [
            ("b1 NOOP", "b1 OK done"),
            ("b2 SELECT INBOX", "* 3 EXISTS\r\nb2 OK [READ-WRITE] selected"),
            ("b3 COMPRESS DEFLATE", "b3 BAD [COMPRESSIONACTIVE] DEFLATE already active"),
            ("b4 APPEND INBOX {10}", "+ Ready for literal data"),
            ("hello\r\nyou", "b4 OK [APPENDUID 7 8] appended"),
            ("b5 IDLE", "+ idling\r\n* 4 EXISTS"),
            ("DONE\r\nb6 NOOP", "b5 OK IDLE completed\r\nb6 OK done"),
            ("b7 LOGOUT", "* BYE Logging out\r\nb7 OK LOGOUT completed"),
        ] {
            let bytes = client.deflated(format!("{command}\r\n").as_bytes());
            assert_eq!(client.exchange(&bytes, size), format!("{answer}\r\n"), "in chunks of {size}");
        }
        assert!(!client.open);
    }
}

#[test]
fn compress_sends_replies_before_ok_uncompressed() {
    play_as_ann(
        "
        C: a1 COMPRESS LZ4
        S: a1 BAD Unknown compression algorithm
        C: a2 NOOP
        C: a3 COMPRESS deflate
        S: a2 OK done
        S: a3 OK DEFLATE active
    ",
    );
    play("C: a1 COMPRESS DEFLATE\nS: a1 BAD Not authenticated");
}

#[test]
fn compress_with_invalid_data_closes_the_session() {
    let mut client = Client::new();
    assert_eq!(client.exchange(b"\xff\xff\xffb1 NOOP\r\n", usize::MAX), "* BYE Invalid compressed data\r\n");
    assert!(!client.open);
    // The same for input after the end of the stream.
    let mut client = Client::new();
    let mut bytes = Vec::with_capacity(100);
    client.deflate.compress_vec(b"b1 NOOP\r\n", &mut bytes, FlushCompress::Finish).unwrap();
    assert_eq!(client.exchange(&bytes, usize::MAX), "b1 OK done\r\n");
    assert_eq!(client.exchange(b"b2 NOOP\r\n", usize::MAX), "* BYE Invalid compressed data\r\n");
}

#[test]
fn compress_applies_limits_to_inflated_input() {
    let mut client = Client::new();
    let line = format!("b1 SELECT {}\r\nb2 NOOP\r\n", "x".repeat(20_000_000));
    let bomb = client.deflated(line.as_bytes());
    assert!(bomb.len() < 25_000);
    let answer = client.exchange(&bomb, 16 * 1024);
    assert_eq!(answer, "b1 BAD [TOOBIG] Line too long\r\nb2 OK done\r\n");
    let answers = client.send(&"b3 NOOP\r\n".repeat(100_000));
    assert_eq!(answers, "b3 OK done\r\n".repeat(100_000));
}

#[test]
fn compress_sends_a_large_reply_in_pieces() {
    let mut client = Client::new();
    let mut noise = vec![0; 3_000_000];
    ChaCha8Rng::seed_from_u64(1).fill_bytes(&mut noise);
    let bytes = client.deflated(b"b1 NOOP\r\n");
    client.session.receive(&bytes);
    let Next::Event(Event::Request(Request::Noop)) = client.session.next() else { panic!("expected NOOP") };
    let noise: String = noise.into_iter().map(|byte| char::from(b'!' + byte % 90)).collect();
    client.session.out().shared_literal(&[noise.clone().into()]);
    client.session.out().end();
    client.session.done(&Reply::ok("done"));
    let mut output = Vec::new();
    while let Next::Send(piece) = client.session.next() {
        assert!(piece.len() <= 100_000, "{}", piece.len());
        output.extend_from_slice(&piece);
    }
    assert_eq!(client.inflated(&output), format!("{{3000000}}\r\n{noise}\r\nb1 OK done\r\n"));
}

#[test]
fn idle_releases_the_compressor() {
    let mut client = Client::new();
    client.send("b1 NOOP\r\n");
    let holds = |client: &Client| client.session.compressed.as_ref().unwrap().holds_compressor();
    assert!(holds(&client));
    assert_eq!(client.send("b2 IDLE\r\n"), "+ idling\r\n* 4 EXISTS\r\n");
    assert!(!holds(&client));
    client.session.out().exists(5);
    let mut output = Vec::new();
    run(&mut client.session, &mut output);
    assert_eq!(client.inflated(&output), "* 5 EXISTS\r\n");
    assert!(!holds(&client));
    assert_eq!(client.send("DONE\r\n"), "b2 OK IDLE completed\r\n");
}

#[test]
fn compressed_session_survives_random_input() {
    for seed in 0..100 {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let mut client = Client::new();
        let mut output = Vec::new();
        for _ in 0..100 {
            let word = WORDS[rng.next_u32() as usize % WORDS.len()];
            let mut bytes = client.deflated(word.as_bytes());
            let drawn = rng.next_u32() as usize;
            if drawn.is_multiple_of(29) {
                let at = drawn % bytes.len();
                bytes[at] ^= 1 << (drawn % 7);
            }
            client.session.receive(&bytes);
            if run(&mut client.session, &mut output).is_none() {
                break;
            }
        }
        assert!(output.len() < 100_000);
    }
}
