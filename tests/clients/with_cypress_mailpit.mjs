// Every command of cypress-mailpit, with a stand-in for Cypress: node with_cypress_mailpit.mjs URL SMTP-PORT [USER:PASSWORD]
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { createTransport } from 'nodemailer'

const [url, port, credentials] = process.argv.slice(2)
const [MAILPIT_USERNAME, MAILPIT_PASSWORD] = credentials?.split(':') ?? []

// As in Cypress: redirects are followed, a status other than 2xx fails, and JSON is parsed.
const request = async ({ method, url, body, qs, auth }) => {
    const target = new URL(url)
    for (const [name, value] of Object.entries(qs ?? {})) target.searchParams.set(name, value)
    const headers = { accept: '*/*', ...(body && { 'content-type': 'application/json' }) }
    if (auth) headers.authorization = 'Basic ' + Buffer.from(`${auth.user}:${auth.pass}`).toString('base64')
    const answer = await fetch(target, { method, headers, body: body && JSON.stringify(body) })
    const text = await answer.text()
    assert.ok(answer.ok, `cy.request() failed: ${method} ${target} ${answer.status}: ${text}`)
    const isJson = answer.headers.get('content-type')?.includes('json')
    return { status: answer.status, body: isJson ? JSON.parse(text) : text }
}
globalThis.Cypress = { expose: (name) => ({ MAILPIT_URL: url })[name], config: () => 4000 }
globalThis.cy = {
    request,
    wrap: async (value) => value,
    env: async () => ({ MAILPIT_USERNAME, MAILPIT_PASSWORD }),
    wait: (ms) => new Promise((resolve) => setTimeout(resolve, ms)),
}
// The package says nowhere that it consists of ES modules.
const source = readFileSync(new URL('node_modules/cypress-mailpit/dist/src/MailpitCommands.js', import.meta.url), 'utf8')
const { MailpitCommands } = await import('data:text/javascript,' + encodeURIComponent(source))
const called = new Set()
const mailpit = new Proxy(new MailpitCommands(), {
    get(commands, name) {
        called.add(name)
        return commands[name]
    },
})

await mailpit.mailpitDeleteAllEmails()
await mailpit.mailpitNotHasEmailsBySubject('Hello')
// With its defaults, and with everything.
const first = await mailpit.mailpitSendMail()
const second = await mailpit.mailpitSendMail({
    from: { Email: 'shop@163.test', Name: 'Shop' },
    to: [{ Email: 'friend@sina.test', Name: 'Friend' }, { Email: 'ann@customer.example', Name: '' }],
    cc: [], bcc: [], replyTo: [], tags: ['order'], headers: { 'X-Order': '7' },
    subject: 'Your order', textBody: 'It is on its way.', htmlBody: '<p>It is <b>on its way</b>.</p>',
    attachments: [{ Content: Buffer.from('a,b\n').toString('base64'), Filename: 'order.csv', ContentType: 'text/csv' }],
})
const transport = createTransport({ host: '127.0.0.1', port: Number(port) })
await transport.sendMail({ from: 'app@163.test', to: 'friend@sina.test', subject: 'by nodemailer', text: 'Hello.' })

const all = await mailpit.mailpitGetAllMails()
assert.deepEqual([all.total, all.count, all.messages_count, all.unread], [3, 3, 3, 3])
assert.deepEqual(all.messages.map((one) => one.Subject), ['by nodemailer', 'Your order', 'Hello Mailpit'])
assert.deepEqual((await mailpit.mailpitGetAllMails(1, 1)).messages.map((one) => one.ID), [second.ID])
assert.equal((await mailpit.mailpitGetMail()).Subject, 'by nodemailer')
const mail = await mailpit.mailpitGetMail(second.ID)
assert.equal(await mailpit.mailpitGetSubject(mail), 'Your order')
assert.equal(await mailpit.mailpitGetFromAddress(mail), 'shop@163.test')
assert.deepEqual(await mailpit.mailpitGetRecipientAddress(mail), ['friend@sina.test', 'ann@customer.example'])
assert.deepEqual(await mailpit.mailpitGetAttachments(mail), ['order.csv'])
assert.match(await mailpit.mailpitGetMailHTMlBody(mail), /<b>on its way<\/b>/)
assert.match(await mailpit.mailpitGetMailTextBody(mail), /It is on its way\./)
const plain = await mailpit.mailpitGetMail(first.ID)
assert.deepEqual([plain.Bcc[0].Address, plain.Cc[0].Address, plain.ReplyTo[0].Address], ['bcc@example.com', 'cc@example.com', 'replyto@example.com'])
// There is no SpamAssassin, and it is said so.
for (const summary of ['mailpitGetMailSpamAssassinSummary', 'mailpitGetMailSpamAssainSummary']) {
    await assert.rejects(mailpit[summary](mail), /sa-check 404/)
}

assert.equal((await mailpit.mailpitSearchEmails('from:shop@163.test tag:order has:attachment')).messages[0].ID, second.ID)
assert.equal((await mailpit.mailpitGetEmailsBySubject('Mailpit')).messages_count, 1)
assert.equal((await mailpit.mailpitGetEmailsByTo('friend@sina.test')).messages_count, 2)
assert.equal((await mailpit.mailpitHasEmailsBySubject('order')).messages[0].Snippet, 'It is on its way.')
assert.equal((await mailpit.mailpitHasEmailsByTo('ann@customer.example')).count, 1)
assert.equal((await mailpit.mailpitHasEmailsBySearch('to:jane')).messages_count, 1)
await mailpit.mailpitNotHasEmailsByTo('nobody@sina.test')
await mailpit.mailpitNotHasEmailsBySearch('subject:invoice')
await assert.rejects(mailpit.mailpitHasEmailsBySearch('subject:invoice', 0, 50, { timeout: 100, interval: 50 }), /Timed out/)
setTimeout(() => transport.sendMail({ from: 'app@163.test', to: 'late@customer.example', subject: 'late', text: 'Hello.' }), 200)
assert.equal((await mailpit.mailpitHasEmailsByTo('late@customer.example', 0, 50, { interval: 50 })).messages[0].Subject, 'late')

const unread = async () => (await mailpit.mailpitGetAllMails()).unread
await mailpit.mailpitSetAllEmailStatusAsRead()
assert.equal(await unread(), 0)
await mailpit.mailpitSetStatusAsUnRead(mail)
assert.equal(await unread(), 1)
await mailpit.mailpitSetStatusAsRead([mail])
assert.equal(await unread(), 0)
await mailpit.mailpitSetAllEmailStatusAsUnRead()
assert.equal(await unread(), 4)
await mailpit.mailpitDeleteEmailsBySearch('to:friend@sina.test')
await mailpit.mailpitNotHasEmailsByTo('friend@sina.test')
await mailpit.mailpitDeleteAllEmails()
assert.equal((await mailpit.mailpitGetAllMails()).total, 0)

const commands = [...MailpitCommands.parentCypressCommands, ...MailpitCommands.childCypressCommands]
assert.deepEqual(commands.filter((command) => !called.has(command)), [], 'commands that were not called')
