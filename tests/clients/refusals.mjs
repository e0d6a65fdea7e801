// nodemailer is refused and tries again, seen in /api/v1/sessions. Arguments: CA file, ports of HTTP, SMTP, submission.
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { Readable } from 'node:stream'
import { createTransport } from 'nodemailer'

const ca = readFileSync(process.argv[2])
const [http, smtp, submission] = process.argv.slice(3).map(Number)

const ask = async (path, method = 'GET', body = undefined) => {
    const headers = { 'Content-Type': 'application/json' }
    const answer = await fetch(`http://127.0.0.1:${http}/api/v1${path}`, { method, headers, body: body && JSON.stringify(body) })
    assert.ok(answer.ok, `${path}: ${answer.status}`)
    return answer.json()
}
// The only conversation that a search finds once it has ended, with what was said.
const found = async (query) => {
    const page = await ask('/sessions?' + new URLSearchParams({ open: false, wait: '30s', ...query }))
    assert.equal(page.total, 1, JSON.stringify([query, page]))
    return ask(`/sessions/${page.sessions[0].id}`)
}
const message = { from: 'me@163.test', to: 'friend@sina.test', subject: 'node', text: 'x' }
const login = (name, pass, tls) => createTransport({
    host: 'localhost', port: submission, name, tls, auth: { user: 'me@163.test', pass },
})

// With its default settings it does not know the world's authority; then the password is wrong; then the recipient is refused for
// now. Each is a conversation of its own, and so is the one in which it succeeds.
const name = 'app.node.test'
await assert.rejects(login(name, 'postroad').sendMail(message), /certificate/)
await assert.rejects(login(name, 'sesame', { ca }).sendMail(message), { code: 'EAUTH', responseCode: 535 })
const fault = await ask('/faults', 'POST', { kind: 'reply', host: 'mta-163', at: 'rcpt', reply: '450 4.2.1 mailbox busy' })
await assert.rejects(login(name, 'postroad', { ca }).sendMail(message), { code: 'EENVELOPE', responseCode: 450 })
await ask(`/faults/${fault.id}`, 'DELETE')
const { response } = await login(name, 'postroad', { ca }).sendMail(message)
const journey = response.match(/queued as (\w+)-/)[1]

const tls = await found({ client: name, outcome: 'tls_failed' })
assert.ok(tls.error.includes('TLS') && tls.tls === null && tls.login === null, JSON.stringify(tls))
const wrong = await found({ client: name, outcome: 'wrong_password', login: 'me@163.test' })
assert.ok(wrong.tls && wrong.refusals[0].reply.startsWith('535 ') && !JSON.stringify(wrong).includes('sesame'), JSON.stringify(wrong))
const busy = await found({ client: name, text: 'mailbox busy' })
assert.deepEqual([busy.outcome, busy.journeys], [['logged_in', 'refused', 'hung_up'], []])
// nodemailer has sent DATA along with it (RFC 2920).
const refusals = busy.refusals.map((one) => [one.command, one.reply.slice(0, 9)])
assert.deepEqual(refusals, [['RCPT TO:<friend@sina.test>', '450 4.2.1'], ['DATA', '503 5.5.1']])
const accepted = await found({ client: name, outcome: 'accepted' })
assert.deepEqual([accepted.journeys, accepted.refused], [[journey], 0])
assert.deepEqual([tls, wrong, busy, accepted].map((one) => one.id), [tls, wrong, busy, accepted].map((one) => one.id).sort())
const story = await ask(`/journeys/${journey}?wait=30s`)
assert.equal(story.events[0].session, accepted.id)
assert.equal(story.recipients['friend@sina.test'].status, 'delivered')

// Two recipients are refused and one is not: one conversation.
const mixed = createTransport({ host: '127.0.0.1', port: smtp, name: 'mixed.node.test' })
const sent = await mixed.sendMail({ ...message, to: ['nobody@163.test', 'no.one@163.test', 'friend@sina.test'] })
assert.deepEqual(sent.rejected, ['nobody@163.test', 'no.one@163.test'])
const session = await found({ client: 'mixed.node.test' })
const id = sent.response.match(/queued as (\w+)-/)[1]
assert.deepEqual([session.outcome, session.journeys, session.refused], [['accepted', 'refused', 'hung_up'], [id], 2])
assert.ok(session.refusals.every((one) => one.reply.startsWith('550 5.1.1')), JSON.stringify(session))
assert.equal((await ask(`/journeys/${id}`)).events[0].session, session.id)
assert.equal((await found({ journey: id })).id, session.id)

// The source of a message breaks off in the middle of DATA.
const half = Readable.from((async function* () {
    yield 'Subject: half\r\n\r\nand then'
    throw new Error('broken off')
})())
const broken = createTransport({ host: '127.0.0.1', port: smtp, name: 'half.node.test' })
await assert.rejects(broken.sendMail({ envelope: { from: message.from, to: message.to }, raw: half }), /broken off/)
const cut = await found({ client: 'half.node.test' })
assert.deepEqual([cut.outcome, cut.journeys], [['hung_up_in_data'], []])
