// imapflow, a library of npm. Argument: port of IMAPS. Its CA comes by NODE_EXTRA_CA_CERTS.
import assert from 'node:assert/strict';
import { ImapFlow } from 'imapflow';

const open = async () => {
    const client = new ImapFlow({
        host: 'localhost', port: Number(process.argv[2]), secure: true, logger: false, qresync: true,
        auth: { user: 'friend@sina.test', pass: 'postroad' },
    });
    await client.connect();
    return client;
};
const client = await open();
const folders = await client.list({ statusQuery: { messages: true, unseen: true } });
assert.equal(folders.find(folder => folder.specialUse === '\\Sent').path, 'Sent');

await client.mailboxOpen('INBOX');
const total = client.mailbox.exists;
let seen = 0;
for await (const message of client.fetch('1:*', { uid: true, flags: true, envelope: true, bodyStructure: true, size: true, internalDate: true, headers: true })) {
    assert.ok(message.uid && message.envelope && message.bodyStructure && message.size && message.headers.length);
    seen += 1;
}
assert.equal(seen, total);

const [uid] = await client.search({ header: { 'message-id': '<20@163.test>' } }, { uid: true });
const message = await client.fetchOne(uid, { envelope: true, bodyStructure: true, source: true }, { uid: true });
assert.equal(message.envelope.subject, 'Gr\u00fc\u00dfe');
const { content } = await client.download(uid, '2', { uid: true });
const chunks = [];
for await (const chunk of content) chunks.push(chunk);
assert.deepEqual([...Buffer.concat(chunks)], [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);

assert.ok(await client.messageFlagsAdd(uid, ['\\Flagged', '$Flow'], { uid: true }));
assert.deepEqual(await client.search({ keyword: '$Flow' }, { uid: true }), [uid]);
await client.mailboxCreate(['Flow', 'Inner']);
const copied = await client.messageCopy(uid, 'Flow/Inner', { uid: true });
assert.equal(copied.uidMap.size, 1);
const appended = await client.append('Flow/Inner', 'Subject: appended\r\n\r\nhere\r\n', ['\\Seen'], new Date('2026-01-02'));
assert.ok(appended.uid);
assert.equal((await client.status('Flow/Inner', { messages: true })).messages, 2);

await client.mailboxOpen('Flow/Inner');
const moved = await client.messageMove({ seen: true }, 'Archive');
assert.equal(moved.uidMap.size, 1);
assert.ok(await client.messageDelete('1:*'));
assert.equal(client.mailbox.exists, 0);
await client.mailboxOpen('INBOX');
await client.mailboxDelete('Flow/Inner');

// Another session's message is told while this one is idle.
const told = new Promise((resolve, reject) => {
    client.on('exists', event => resolve(event.count));
    setTimeout(() => reject(new Error('no notification of the new message')), 10000).unref();
});
const idle = client.idle();
const other = await open();
const extra = await other.append('INBOX', 'Subject: while idle\r\n\r\nhere\r\n');
assert.equal(await told, total + 1);
await client.noop();
await idle;
assert.ok(await client.messageDelete(String(extra.uid), { uid: true }));
assert.equal(client.mailbox.exists, total);
await other.logout();
await client.logout();

// Offline: what others did meanwhile is told when the mailbox is opened again (QRESYNC), and what was done here reaches them.
const writer = await open();
await writer.mailboxOpen('INBOX');
const { uidValidity, highestModseq: changedSince, uidNext } = writer.mailbox;
await writer.messageFlagsAdd(uid, ['$Meanwhile'], { uid: true });
const { uid: doomed } = await writer.append('INBOX', 'Subject: doomed\r\n\r\nhere\r\n');
const { uid: fresh } = await writer.append('INBOX', 'Subject: while offline\r\n\r\nhere\r\n');
await writer.messageDelete(String(doomed), { uid: true });
const [victim] = await writer.search({ header: { 'message-id': '<19@163.test>' } }, { uid: true });
await writer.messageMove(String(victim), 'Archive', { uid: true });

const back = await open();
const heard = { flags: new Map(), gone: [] };
back.on('flags', event => heard.flags.set(event.uid, event.flags));
back.on('expunge', event => heard.gone.push(event.uid));
await back.mailboxOpen('INBOX', { uidValidity, changedSince });
assert.ok(heard.flags.get(uid).has('$Meanwhile'));
assert.deepEqual(heard.gone.filter(gone => gone < uidNext), [victim]);
assert.deepEqual(await back.search({ uid: `${uidNext}:*` }, { uid: true }), [fresh]);
assert.equal(back.mailbox.exists, total);
await back.messageFlagsRemove(uid, ['$Meanwhile'], { uid: true });
await back.messageDelete(String(fresh), { uid: true });
await back.logout();
await writer.noop();
assert.equal(writer.mailbox.exists, total - 1);
assert.deepEqual(await writer.search({ keyword: '$Meanwhile' }), []);
await writer.logout();
