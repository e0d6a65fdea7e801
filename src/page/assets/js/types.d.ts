// What the interface answers, as far as the page reads it, and what views hand to each other.

export type Fate =
  | { status: "underway"; at: string }
  | { status: "deferred"; at: string; until: string; reason: string }
  | { status: "held"; at: string; reason?: string }
  | { status: "relayed"; to: string }
  | { status: "gone"; at: string }
  | { status: "delivered"; copies: number; at: string }
  | { status: "failed"; reason: string; report: string | null }
  | { status: "expanded"; to: string[] }
  | { status: "discarded"; at: string }
  | { status: "deleted"; at: string };
export type Fates = Record<string, Fate>;

export interface Person { Name: string; Address: string }
export interface Envelope { From: string; To: string[] }
export interface Summary {
  ID: string; MessageID: string; Read: boolean; From: Person; To: Person[]; Cc: Person[]; Bcc: Person[]; ReplyTo: Person[];
  Subject: string; Created: string; Tags: string[]; Size: number; Attachments: number; Snippet: string; Username: string;
  Envelope: Envelope;
}
export interface MessageList {
  total: number; unread: number; count: number; messages_count: number; messages_unread: number; start: number; tags: string[];
  messages: Summary[]; next?: string;
}
export interface Attachment {
  PartID: string; FileName: string; ContentType: string; ContentID: string; Size: number;
  Checksums: { MD5: string; SHA1: string; SHA256: string };
}
export interface Letter extends Omit<Summary, "Attachments"> {
  ReturnPath: string; Date: string; Text: string; HTML: string; Inline: Attachment[]; Attachments: Attachment[];
  Recipients: Fates; Codes: string[]; Links: string[];
  Unsubscribe: { Links: string[]; OneClick: boolean };
  Invitations: Record<string, unknown>[];
}

export interface Transcript { lines: ["C" | "S", string][]; dropped?: number }
export interface PostEvent {
  seq: number; at: string; host: string; journey: string; id?: string; step: string; dialogue?: Transcript;
  protocol?: string; from?: string; to?: string; recipients?: string[]; recipient?: string; reverse_path?: string | null;
  size?: number; tls?: string | null; user?: string | null; took_ms?: number; reply?: string; reason?: string; until?: string;
  by?: string | null; report?: string | null; about?: string; targets?: string[]; account?: string; mailbox?: string; uid?: number;
  attempt?: Attempt; in_doubt?: boolean; leaves?: boolean; discarded?: boolean;
}
export interface Session {
  id: number; protocol: string; host: string; client: string; hello?: string; began: string; ended: string | null; tls: string | null;
  login: string | null; outcome: string[]; journeys: string[]; accepted: number; refused: number; error?: string;
  dialogue?: { lines: ["C" | "S", string, number][]; dropped?: number };
}
export interface JourneyHead {
  id: string; reverse_path: string | null; began: string; settled: boolean; recipients: Fates;
}
export interface Journey extends JourneyHead { events: PostEvent[] }

export interface Host {
  name: string; fqdn: string; role: string; addresses: string[]; on: boolean; ports?: Record<string, string>; queued?: number;
}
export interface Domain { mx: string[]; mailboxes: string }
export interface World {
  name: string; now: string; entry: string; message?: [string, string]; domains: Record<string, Domain>; elsewhere?: Domain;
  users: string[]; links: { from: string; to: string; protocol: string }[];
}
export interface Mailbox { account: string; mailbox: string; messages: number; unseen: number; bytes: number }
export interface ActiveFault { id: number; title: string; since: string; fault: Record<string, unknown> & { kind: string } }
export interface FaultRecord { number: number; title: string; since: string; until: string | null; fault: ActiveFault["fault"] }
/** A fault that is active, or one that has an end. */
export interface SeenFault extends ActiveFault { until?: number }
export interface FaultField {
  name: string; type: "host" | "link" | "duration" | "number" | "text" | "choice"; is_required: boolean; help: string;
  example?: string; roles?: string[]; values?: string[];
}
export interface FaultKind { kind: string; title: string; fields: FaultField[] }
export interface Queued {
  id: string; host: string; state: string; reverse_path: string | null; recipients: string[]; size: number; arrived: string;
  due: string; attempts: number; reason: string | null;
}

export interface HtmlScore { Supported: number; Partial: number; Unsupported: number }
export interface HtmlWarning {
  Title: string; Category: string; URL: string; Score: HtmlScore & { Found: number };
  Results: { Name: string; Platform: string; Support: "yes" | "no" | "partial" }[];
}
export interface HtmlCheck { Platforms: Record<string, string[]>; Total: HtmlScore; Warnings: HtmlWarning[] }

/** The report of a simulation, as `simulate --json` writes it; times without a date are seconds since it began. */
export interface Report {
  scenario: string; about: string; seed: number; passed: boolean; began: string; seconds: number; written: number; refused: number; unsent: number;
  outcomes: { delivered: number; bounced: number; waiting: number; lost: number; duplicates: number };
  hops: number; deferred: number; retrieved: number; latency: { p50: number; p95: number; p99: number; max: number };
  expectations: { expected: string; found: string; held: boolean; messages?: string[] }[];
  violations: { promise: string; journey: string | null; what: string }[];
  faults: { what: string; from: string; until: string | null; fault: ActiveFault["fault"] }[];
  queues: { host: string; longest: number; samples: [number, number][] }[];
  worst: (Journey & { recipient: string; outcome: string })[];
  distribution: { up_to: number; count: number }[]; pace: { at: number; delivered: number; deferred: number }[];
  hosts: Host[]; events: number; trace: string;
}

/** What a URL stands for: `/mail/ID/html?q=WORDS` is view `mail`, parts `["ID", "html"]`. */
export interface Route { view: string; parts: string[]; query: URLSearchParams }

export interface Lookup { name: string; type: string; outcome: string; answers?: string[]; cached?: boolean; took_ms?: number; error?: string }
/** How an attempt went. Times are milliseconds. */
export interface Attempt {
  began: string; address?: string; preference?: number; wait_ms?: number; dns_ms?: number; connect_ms?: number; greeting_ms?: number; tls_ms?: number;
  envelope_ms?: number; content_ms?: number; reply_ms?: number; lookups?: Lookup[];
}
export interface Phase {
  name: "queued" | "dns" | "connect" | "greeting" | "tls" | "envelope" | "content" | "reply" | "other" | "whole" | "failed"; start: number; end: number;
}
/** A row of the waterfall. Times are milliseconds since 1970. */
export interface Row {
  kind: "hop" | "wait" | "note" | "report" | "fetch";
  depth: number; sign: string; tone: "ok" | "wait" | "bad" | "way"; from: string; to?: string; what: string;
  start: number; end: number; isOpen: boolean; phases: Phase[]; tries: number[];
  reply: string; took: number | null; event: PostEvent | null; arrival: PostEvent | null; link?: string; until?: number; host: string;
  forks?: boolean;
  /** Hosts that were tried in vain before, in the same attempt. */
  tried?: PostEvent[];
}
export interface Timeline {
  rows: Row[]; start: number; end: number; isSettled: boolean; waited: number;
  /** How long each phase took in all. */
  sums: [Phase["name"], number][];
  hosts: string[]; about: string | null;
}
