// node-pop3, a library of npm. Argument: port of POP3S. Its CA comes by NODE_EXTRA_CA_CERTS.
import assert from 'node:assert/strict';
import Pop3Command from 'node-pop3';

const open = () => new Pop3Command({
    host: 'localhost', port: Number(process.argv[2]), tls: true, servername: 'localhost', timeout: 10000,
    user: 'friend@sina.test', password: 'postroad',
});
const client = open();
const uids = await client.UIDL();
const list = await client.LIST();
assert.equal(uids.length, list.length);
const [number, uid] = uids[0];
// It drops the last line end.
assert.match(await client.RETR(number), /\r\n\r\nBody 1$/);
assert.match(await client.TOP(number, 0), /Subject: message 1/);
assert.doesNotMatch(await client.TOP(number, 0), /Body 1/);
await client.command('DELE', number);
await client.QUIT();

const again = open();
const left = await again.UIDL();
assert.equal(left.length, uids.length - 1);
assert.ok(!left.some(([, other]) => other === uid));
await again.QUIT();
