// Requests to the API. A page without one has a file of the same name, which reads recorded predictions.

export async function get(path, options = {}) {
  const key = sessionStorage.getItem("key");
  const headers = { ...options.headers, ...(key ? { Authorization: `Bearer ${key}` } : {}) };
  const response = await fetch(`page/${path}`, { ...options, headers });
  if (response.ok) return response;
  const { detail } = await response.json().catch(() => ({ detail: `the API responded with status ${response.status}` }));
  throw Object.assign(new Error(typeof detail === "string" ? detail : ""), { status: response.status, problems: detail });
}
