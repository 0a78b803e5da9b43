// Signing in: with a name and a password, or with a read token for a screen that nobody types at.

import { ask, get, securityMode, token } from "./api.js";
import { el } from "./dom.js";
import { field, form } from "./form.js";
import { page } from "./frame.js";
import { every } from "./loop.js";
import { known, t } from "./words.js";

const LOOK_S = 30;

/** Where to go afterwards: whatever `next` says, only to a page of this very server. */
function target() {
  const next = new URLSearchParams(location.search).get("next") ?? "/";
  const leads = next.startsWith("/") && URL.canParse(next, location.origin) ? new URL(next, location.origin) : null;
  const inside = leads?.origin === location.origin && leads.pathname !== "/login";
  // Whole, since a path of its own may begin with two slashes.
  return inside ? leads.href : "/";
}

const onward = () => location.replace(target());

// ---- A person

const user = el("input", { name: "user", autocomplete: "username", autocapitalize: "none", spellcheck: "false", required: true, maxlength: 255 });
const password = el("input", { name: "password", type: "password", autocomplete: "current-password", required: true, maxlength: 1024 });

async function signIn() {
  const body = { user: user.value, password: password.value };
  try {
    const { data } = await ask("POST", "/api/login", {}, { body, lead: false });
    token.signedIn(data);
  } catch (error) {
    password.focus();
    password.select();
    throw error;
  }
  onward();
}

// ---- A screen

const shown = el("input", {
  name: "token", type: "password", autocomplete: "off", spellcheck: "false", required: true,
  pattern: "\\s*rms_[0-9a-f]{12}_\\S+\\s*", title: t("login.token.form"),
});

async function keep() {
  const value = shown.value.trim();
  await ask("GET", "/api/hosts", { limit: 1 }, { headers: { Authorization: `Bearer ${value}` }, lead: false });
  token.forget();
  token.keep(value);
  onward();
}

// ---- The page

const open = el("p", { class: "empty", hidden: true }, t("login.open"), " ", el("a", { href: "/" }, t("login.fleet")));
const already = el("p", { class: "empty", hidden: true }, t("login.inside"), " ", el("a", { href: target() }, t("login.on")));
const why = `login.why.${new URLSearchParams(location.search).get("why")}`;
page.append(
  known(why) ? el("p", { class: "warning", role: "status" }, t(why)) : "",
  open,
  already,
  el("section", { class: "card sign-in", "aria-labelledby": "person-title" }, el("h2", { id: "person-title" }, t("login.person")),
    form(signIn, t("page.login"), [field(t("login.user"), user), field(t("login.password"), password)])),
  el("section", { class: "card sign-in", "aria-labelledby": "screen-title" }, el("h2", { id: "screen-title" }, t("login.screen")),
    form(keep, t("login.keep"), [field(t("login.token"), shown, t("login.token.hint"))])),
  el("p", { class: "note" }, t("login.how"), " ", el("code", {}, "python manage.py user create NAME --role viewer")),
);

/** Says so to whoever is let in already; what was kept may have ended, and where nobody is asked it says nothing. */
async function tellInside() {
  if (!token.get() || (await securityMode()) !== "enforce") return;
  await get("/api/hosts", { limit: 1 });
  already.hidden = !token.get();
}

user.focus();
tellInside().catch(() => {}); // whoever is not has the forms
every(LOOK_S, async () => {
  open.hidden = (await get("/health", {}, { lead: false })).security === "enforce";
});
