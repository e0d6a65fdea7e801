// nodemailer with its default settings: STARTTLS if it is offered, and certificates are verified; NODE_EXTRA_CA_CERTS names the
// world's authority. Arguments: ports of SMTP and submission.
import assert from "node:assert";
import { createTransport } from "nodemailer";

const [smtp, submission] = process.argv.slice(2).map(Number);
const message = { from: "me@163.test", to: "friend@sina.test", subject: "by nodemailer", text: "Hello, friend." };

const open = createTransport({ host: "127.0.0.1", port: smtp });
assert.deepEqual((await open.sendMail(message)).accepted, ["friend@sina.test"]);

const auth = { user: "me@163.test", pass: "postroad" };
const login = createTransport({ host: "localhost", port: submission, auth });
assert.deepEqual((await login.sendMail(message)).accepted, ["friend@sina.test"]);
