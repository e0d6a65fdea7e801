// The report of a simulation, in one file: the report itself, and the journeys of its slowest messages.

import { html } from "../../vendor/lit.js";
import { answerFrom } from "../api.js";
import { toggleTheme } from "../theme-button.js";
import "../dialogs.js";
import { icon } from "../icons.js";
import "../journey/journey.js";
import { startKeys } from "../keys.js";
import { go, href, startRoutes } from "../routes.js";
import { View, set, state } from "../store.js";
import { reportView } from "./report.js";
/** @import { Report } from "../types" */

/** @type {Report} */
const report = JSON.parse(document.getElementById("report")?.textContent ?? "{}");
answerFrom((path) => report.worst.find(({ id }) => path === `api/v1/journeys/${id}`));

class ReportApp extends View {
  render() {
    const { view, parts, query } = state.route;
    const [id = ""] = parts, other = query.get("with");
    return html`<header class="top"><a class="mark" href=${href(["report"])} title="The report"><b>Postroad</b> <span class="soft">${report.scenario}, seed ${report.seed}</span></a>
        <button class="icon-only theme" title="Light or dark" aria-label="Light or dark" @click=${toggleTheme}>${icon("theme")}</button></header>
      <main id="main" tabindex="-1">${view !== "journey" ? reportView(report) : other ? html`<post-compare .one=${id} .other=${other}></post-compare>` : html`<post-journey .journeyId=${id}></post-journey>`}</main>
      <post-dialogs></post-dialogs>`;
  }
}

startRoutes();
startKeys({ toggleTheme, go });
const faults = report.faults.map(({ what, from, until, fault }, at) => ({ id: at, title: what, since: from, fault, until: until ? Date.parse(until) : undefined }));
set({ report, hosts: report.hosts, pastFaults: faults });
customElements.define("post-report", ReportApp);
