// Every call of mailpit-api: node with_mailpit_api.mjs URL SMTP-PORT [USER:PASSWORD]
import assert from 'node:assert/strict'
import { once } from 'node:events'
import net from 'node:net'
import { MailpitClient } from 'mailpit-api'
import WebSocket from 'ws'

const [url, port, credentials] = process.argv.slice(2)
const [username, password] = credentials?.split(':') ?? []
const mailpit = new MailpitClient(url, credentials && { auth: { username, password } })
if (credentials) await assert.rejects(new MailpitClient(url).getInfo(), /401/)
await mailpit.deleteMessages()

// SMTP by hand; returns the id in the last reply.
const send = (lines) => new Promise((resolve, reject) => {
    const socket = net.connect(Number(port), '127.0.0.1')
    let step = 0
    let input = ''
    socket.on('error', reject)
    socket.on('data', (data) => {
        input += data
        for (let end; (end = input.indexOf('\r\n')) !== -1; input = input.slice(end + 2)) {
            const reply = input.slice(0, end)
            if (/^[45]/.test(reply) || step === lines.length) {
                socket.end()
                return resolve(reply)
            }
            if (/^\d{3} /.test(reply)) socket.write(lines[step++] + '\r\n')
        }
    })
})
const smtp = (to, text) => send(['HELO test', 'MAIL FROM:<me@163.test>', `RCPT TO:<${to}>`, 'DATA', text + '\r\n.'])

const reply = await smtp('friend@sina.test', 'From: Me <me@163.test>\r\nTo: friend@sina.test\r\nSubject: by SMTP\r\n\r\nHello, friend.')
let list = await mailpit.listMessages()
assert.equal(list.total, 1)
assert.equal(list.messages[0].ID, reply.match(/queued as (\w+)-/)[1])
assert.deepEqual(list.messages[0].From, { Name: 'Me', Address: 'me@163.test' })
assert.equal(list.messages[0].Read, false)
assert.equal(list.messages[0].Snippet, 'Hello, friend.')

const png = 'iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=='
const { ID } = await mailpit.sendMessage({
    From: { Email: 'me@163.test', Name: 'Me' },
    To: [{ Email: 'friend@sina.test', Name: 'A Friend' }],
    Cc: [{ Email: 'cc@example.org' }],
    Bcc: ['hidden@example.org'],
    ReplyTo: [{ Email: 'reply@163.test' }],
    Subject: 'by the API: Grüße',
    Text: 'Your code is 246810, or see https://163.test/login.',
    HTML: '<p style="display: grid">Your code is <b>246810</b>. <a href="https://163.test/login">Log in</a> <img src="cid:pixel"></p>',
    Attachments: [
        { Content: Buffer.from('a,b\n1,2\n').toString('base64'), Filename: 'table.csv', ContentType: 'text/csv' },
        { Content: `data:image/png;base64,${png}`, Filename: 'pixel.png', ContentType: 'image/png', ContentID: 'pixel' },
    ],
    Tags: ['first', 'two words'],
    Headers: { 'X-Custom': 'value' },
})
const found = await mailpit.waitForMessage({ query: 'subject:"Grüße" tag:first has:attachment' })
assert.equal(found.ID, ID)
assert.deepEqual(found.Tags, ['first', 'two words'])
const message = await mailpit.getMessageSummary(ID)
assert.equal(message.Subject, 'by the API: Grüße')
assert.deepEqual(message.To, [{ Name: 'A Friend', Address: 'friend@sina.test' }])
assert.deepEqual(message.Bcc, [{ Name: '', Address: 'hidden@example.org' }])
assert.equal(message.ReplyTo[0].Address, 'reply@163.test')
assert.equal(message.ReturnPath, 'me@163.test')
assert.match(message.Text, /Your code is 246810/)
assert.match(message.HTML, /cid:pixel/)
assert.deepEqual(message.Codes, ['246810'])
assert.deepEqual(message.Links, ['https://163.test/login'])
assert.deepEqual(message.Attachments.map((it) => [it.FileName, it.ContentType, it.Size]), [['table.csv', 'text/csv', 8]])
assert.deepEqual(message.Inline.map((it) => [it.FileName, it.ContentID]), [['pixel.png', 'pixel']])
const { createHash } = await import('node:crypto')
for (const [name, kind] of [['MD5', 'md5'], ['SHA1', 'sha1'], ['SHA256', 'sha256']]) {
    assert.equal(message.Attachments[0].Checksums[name], createHash(kind).update('a,b\n1,2\n').digest('hex'))
}
const blob = await mailpit.getMessageAttachment(ID, message.Attachments[0].PartID)
assert.equal(await blob.text(), 'a,b\n1,2\n')
assert.equal(blob.type, 'text/csv')
assert.equal((await mailpit.getMessageHeaders(ID))['X-Custom'][0], 'value')
assert.match(await mailpit.getMessageSource(), /^X-Custom: value\r$/m)
assert.match(await mailpit.renderMessageHTML(ID), new RegExp(`src="/api/v1/message/${ID}/part/`))
assert.match(await mailpit.renderMessageHTML(ID, 1), /_blank/)
assert.match(await mailpit.renderMessageText(), /Your code is/)
const links = await mailpit.linkCheck(ID)
assert.deepEqual([links.Errors, links.Links.map((it) => [it.URL, it.StatusCode])], [0, [['https://163.test/login', 200]]])
await assert.rejects(mailpit.sendMessage({ From: { Email: 'no address' } }), /400.*invalid email address/)
await assert.rejects(mailpit.getMessageSummary('unknown'), /404/)

list = await mailpit.listMessages(1, 1)
assert.deepEqual([list.count, list.messages_count, list.total, list.start], [1, 2, 2, 1])
assert.equal(list.messages[0].Subject, 'by SMTP')
await mailpit.setReadStatus({ Read: true })
assert.equal((await mailpit.listMessages()).unread, 0)
await mailpit.setReadStatus({ IDs: [ID] })
assert.deepEqual((await mailpit.searchMessages({ query: 'is:unread' })).messages.map((it) => it.ID), [ID])
await mailpit.setReadStatus({ Search: 'after:2020-01-01', Read: true }, { tz: 'America/Chicago' })
assert.equal((await mailpit.searchMessages({ query: 'is:unread' })).messages_count, 0)
assert.equal((await mailpit.searchMessages({ query: 'from:me@163.test', limit: 1 })).messages_count, 2)

await mailpit.setTags({ IDs: [ID], Tags: ['second', 'two words'] })
assert.deepEqual(await mailpit.getTags(), ['second', 'two words'])
await mailpit.renameTag('two words', 'third')
await assert.rejects(mailpit.renameTag('none', 'x'), /tag not found/)
await assert.rejects(mailpit.renameTag('third', 'second'), /tag already exists/)
assert.deepEqual(await mailpit.getTags(), ['second', 'third'])
await mailpit.deleteTag('second')
assert.deepEqual((await mailpit.getMessageSummary(ID)).Tags, ['third'])

assert.match((await mailpit.getInfo()).Version, /^v1\./)
assert.equal((await mailpit.getInfo()).Messages, 2)
assert.equal((await mailpit.getConfiguration()).MessageRelay.Enabled, true)

assert.equal((await mailpit.setChaosTriggers({ Sender: { ErrorCode: 452, Probability: 100 } })).Sender.ErrorCode, 452)
assert.match(await smtp('friend@sina.test', 'x'), /^452 .*Chaos sender error/)
assert.equal((await mailpit.getChaosTriggers()).Sender.Probability, 100)
await assert.rejects(mailpit.setChaosTriggers({ Sender: { ErrorCode: 200, Probability: 1 } }), /error code must be between/)
await mailpit.setChaosTriggers()
assert.match(await smtp('friend@sina.test', 'Subject: again\r\n\r\nx'), /^250/)

await mailpit.releaseMessage(ID, { To: ['released@sina.test'] })
const released = await mailpit.waitForMessages({ query: 'to:friend bcc:released', count: 1 })
assert.notEqual(released.messages[0].ID, ID)
await assert.rejects(mailpit.releaseMessage(ID, { To: [] }), /400.*No valid addresses found/)
const checked = await mailpit.htmlCheck(ID)
assert.ok(checked.Total.Tests > 300 && checked.Total.Nodes > 0 && checked.Platforms.ios.includes('Gmail'))
assert.deepEqual(Object.keys(checked.Warnings[0].Results[0]).sort(), ['Family', 'Name', 'NoteNumber', 'Platform', 'Support', 'Version'])
for (const { PartID } of [...message.Inline, ...message.Attachments]) {
    const thumbnail = Buffer.from(await (await mailpit.getAttachmentThumbnail(ID, PartID)).arrayBuffer())
    assert.equal(thumbnail.subarray(0, 3).toString('hex'), 'ffd8ff', 'a JPEG, blank if the part is no picture')
}
// Not there, and said so: no SpamAssassin.
await assert.rejects(mailpit.spamAssassinCheck(ID), /404/)

// The websocket says what happens.
const events = []
const socket = new WebSocket(url.replace('http', 'ws') + '/api/events', { auth: credentials })
socket.on('message', (data, isBinary) => events.push(JSON.parse(isBinary ? '' : data)))
await once(socket, 'open')
const has = async (wanted) => {
    for (let at = 0; at < 200 && !events.some(wanted); at++) await new Promise((resolve) => setTimeout(resolve, 20))
    assert.ok(events.some(wanted), `${wanted} in ${JSON.stringify(events)}`)
}
const id = (await smtp('friend@sina.test', 'Subject: live\r\n\r\nx')).match(/queued as (\w+)-/)[1]
await has((event) => event.Type === 'new' && event.Data.ID === id && event.Data.Subject === 'live')
await mailpit.setReadStatus({ IDs: [id], Read: true })
await has((event) => event.Type === 'update' && event.Data.ID === id && event.Data.Read)
await mailpit.deleteMessages({ IDs: [id] })
await has((event) => event.Type === 'delete' && event.Data.ID === id)
await has((event) => event.Type === 'stats')
socket.close()
assert.equal((await once(socket, 'close'))[0], 1005)

await mailpit.deleteMessagesBySearch({ query: 'subject:"by SMTP"' })
assert.equal((await mailpit.searchMessages({ query: 'subject:"by SMTP"' })).messages_count, 0)
await mailpit.deleteMessages()
assert.equal((await mailpit.waitForMessages({ count: 0 })).total, 0)
