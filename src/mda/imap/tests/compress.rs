//! COMPRESS=DEFLATE on the wire. RFC 4978.

use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress};

use super::*;

/// A client with active compression.
struct Compressed {
    stream: Stream,
    deflate: Compress,
    inflate: Decompress,
}

impl Compressed {
    async fn new(fixture: &Fixture) -> Self {
        let mut stream = fixture.log_in().await;
        stream.write_all(b"a1 COMPRESS DEFLATE\r\n").await.unwrap();
        assert_eq!(read_until_idle(&mut stream).await, "a1 OK DEFLATE active\r\n");
        Self { stream, deflate: Compress::new(Compression::fast(), false), inflate: Decompress::new(false) }
    }

    async fn say(&mut self, text: &str) -> String {
        let mut bytes = Vec::with_capacity(text.len() + 1_000);
        self.deflate.compress_vec(text.as_bytes(), &mut bytes, FlushCompress::Sync).unwrap();
        self.stream.write_all(&bytes).await.unwrap();
        self.read_until_idle().await
    }

    /// All output until the server is idle.
    async fn read_until_idle(&mut self) -> String {
        let (mut text, mut buffer) = (Vec::new(), [0; 512]);
        while let Ok(Ok(len @ 1..)) = timeout(Duration::from_secs(1), self.stream.read(&mut buffer)).await {
            text.reserve(1_000_000);
            self.inflate.decompress_vec(&buffer[..len], &mut text, FlushDecompress::None).unwrap();
        }
        String::from_utf8(text).unwrap()
    }
}

#[tokio::test(start_paused = true)]
async fn compressed_client_receives_updates_at_once() {
    let fixture = Fixture::new().await;
    let body = "a line that comes again and again\r\n".repeat(2_000);
    fixture.deliver(&format!("Subject: long\r\n\r\n{body}")).await;
    let mut client = Compressed::new(&fixture).await;
    assert!(client.say("a2 SELECT INBOX\r\n").await.ends_with("a2 OK [READ-WRITE] SELECT completed\r\n"));
    let answer = client.say("a3 FETCH 1 BODY.PEEK[TEXT]\r\n").await;
    assert_eq!(answer, format!("* 1 FETCH (BODY[TEXT] {{{}}}\r\n{body})\r\na3 OK FETCH completed\r\n", body.len()));
    assert!(client.inflate.total_in() < 2_000, "{} bytes came", client.inflate.total_in());
    assert_eq!(client.say("a4 IDLE\r\n").await, "+ idling\r\n");
    fixture.deliver("Subject: news\r\n\r\n").await;
    assert_eq!(client.read_until_idle().await, "* 2 EXISTS\r\n* 2 RECENT\r\n");
    assert_eq!(client.say("DONE\r\n").await, "a4 OK IDLE completed\r\n");
    fixture.stop.cancel();
    assert_eq!(client.read_until_idle().await, "* BYE Server shutting down\r\n");
}
