// Asking the API. A page without one has a file of the same name, which answers from a record.

export async function get(path, options = {}) {
  const key = sessionStorage.getItem("key");
  const headers = { ...options.headers, ...(key ? { Authorization: `Bearer ${key}` } : {}) };
  const answer = await fetch(`page/${path}`, { ...options, headers });
  if (answer.ok) return answer;
  const { detail } = await answer.json().catch(() => ({ detail: `the API answers with status ${answer.status}` }));
  throw Object.assign(new Error(typeof detail === "string" ? detail : ""), { status: answer.status, problems: detail });
}
