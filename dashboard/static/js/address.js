// The state of a page is in its address: it can be shared, and the back button works.

/** The state in the address, over what it is where the address says nothing. */
export function state(usual) {
  const given = new URLSearchParams(location.search);
  return Object.fromEntries(
    Object.entries(usual).map(([name, value]) => {
      if (Array.isArray(value)) return [name, given.getAll(name)];
      return [name, given.get(name) ?? value];
    }),
  );
}

/** A value that is one of some; else the usual one. */
export const oneOf = (values, value, usual) => (values.includes(value) ? value : usual);

/** A text that is a count of at least one; else the usual one. */
export const countOf = (text, usual) => (/^[1-9]\d{0,8}$/.test(text) ? text : usual);

/** Puts a state into the address, beside those of other parts; `step`: the back button leads to the one before. */
export function put(usual, now, { step = true } = {}) {
  const given = new URLSearchParams(location.search);
  Object.keys(usual).forEach((name) => given.delete(name));
  for (const [name, value] of Object.entries(now)) {
    if (Array.isArray(value)) value.forEach((one) => given.append(name, one));
    else if (value !== null && value !== "" && value !== usual[name]) given.set(name, value);
  }
  const query = given.toString();
  const address = query ? `${location.pathname}?${query}` : location.pathname;
  if (address === location.pathname + location.search) return;
  history[step ? "pushState" : "replaceState"](null, "", address);
}

/** Calls back when the back button changed the address. */
export const moved = (work) => addEventListener("popstate", work);
