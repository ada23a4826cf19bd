"""NetCash: the status service, which alone can tell whether an unsigned payment notice is true."""

from integrations.providers.payloads import new_number
from integrations.sandbox.state import State
from integrations.sandbox.wire import Api, Call, Reply, Route, answer, same, text

SLUG = "netcash"


def pay(call: Call, state: State) -> Reply:
    """The page that a payer's browser posts the form to. Here it is paid at once, and NetCash's books know it."""
    form = call.form()
    if not same(form.get("m1", ""), state.value("NETCASH_SERVICE_KEY")) or not form.get("p2") or not form.get("p4"):
        return text("<h1>The request is invalid.</h1>", status=400)
    trace = new_number(f"{form['p2']} {call.now}", "trace", 12)
    told = {"TransactionAccepted": "true", "Reason": "Success", "RequestTrace": trace, "Method": "1"}
    extra = {f"Extra{number}": form.get(f"m{number + 3}", "") for number in (1, 2, 3)}
    state.remember(SLUG, {**told, "Reference": form["p2"], "Amount": form["p4"], **extra})
    return text(f"<h1>Paid</h1><p>Trace {trace}</p>")


def status(call: Call, state: State) -> Reply:
    """Knows the payments whose notices this sandbox has sent, and no others. It asks for no key, as the real one."""
    trace = call.query.get("RequestTrace", "")
    if not trace:
        return answer({"Message": "The request is invalid."}, 400)
    for payment in reversed(state.events(SLUG)) if call.fault != "lost" else ():
        if str(payment.get("RequestTrace")) == trace:
            return answer({name: value for name, value in payment.items() if name != "Hash"})
    return answer({"Message": "Transaction not found."}, 404)


API = Api(
    slug=SLUG,
    routes=(
        Route("GET", "/PayNow/TransactionStatus/Check", status, open=True),
        Route("POST", "/site/paynow.aspx", pay, open=True),
    ),
    admit=lambda call, state: None,
    refused=lambda call: answer({"Message": "Authorization has been denied for this request."}, 401),
    throttled=lambda call, seconds: answer({"Message": "Too many requests."}, 429),
    failed=lambda call: text("<h1>Server Error in '/' Application.</h1>", status=500),
    missing=lambda call: text("<h1>404 - File or directory not found.</h1>", status=404),
)
