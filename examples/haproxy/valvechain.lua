-- Asks ValveChain whether to admit a request (HAProxy 2.5 and later, for core.httpclient).
-- Sets txn.check_status (0: no answer), txn.retry_after, txn.ratelimit, txn.ratelimit_policy.
local url = os.getenv("VALVECHAIN_CHECK") or "http://127.0.0.1:3000/api/check"

local function first(headers, name)
  return headers and headers[name] and headers[name][0]
end

core.register_action("valvechain_check", { "http-req" }, function(txn)
  local sent = txn.http:req_get_headers()
  local headers = {
    ["x-forwarded-for"] = { txn.sf:src() },
    ["x-forwarded-method"] = { txn.sf:method() },
    ["x-forwarded-uri"] = { txn.sf:pathq() },
  }
  for _, name in ipairs({ "authorization", "x-api-key" }) do
    local value = first(sent, name)
    if value then headers[name] = { value } end
  end
  local answer = core.httpclient():get{ url = url, headers = headers, timeout = 500 }
  txn:set_var("txn.check_status", answer and answer.status or 0)
  if not answer then return end
  txn:set_var("txn.retry_after", first(answer.headers, "retry-after") or "")
  txn:set_var("txn.ratelimit", first(answer.headers, "ratelimit") or "")
  txn:set_var("txn.ratelimit_policy", first(answer.headers, "ratelimit-policy") or "")
end)
