"""Requests and frames that no honest client sends: right in most things and wrong in some, or wrong altogether."""

import json
import random
import time
from urllib.parse import quote, urlencode

from bnml.venues.sim import rest, wsapi
from tests.venues.sim.served import KEY, signature

NAMES = [
    "symbol",
    "symbols",
    "side",
    "type",
    "timeInForce",
    "quantity",
    "quoteOrderQty",
    "price",
    "stopPrice",
    "newClientOrderId",
    "newOrderRespType",
    "icebergQty",
    "trailingDelta",
    "strategyId",
    "strategyType",
    "selfTradePreventionMode",
    "cancelReplaceMode",
    "cancelNewClientOrderId",
    "cancelOrigClientOrderId",
    "cancelOrderId",
    "orderId",
    "origClientOrderId",
    "orderListId",
    "listClientOrderId",
    "aboveType",
    "abovePrice",
    "aboveStopPrice",
    "aboveTimeInForce",
    "belowType",
    "belowPrice",
    "belowStopPrice",
    "belowTimeInForce",
    "workingType",
    "workingSide",
    "workingPrice",
    "workingQuantity",
    "workingTimeInForce",
    "pendingType",
    "pendingSide",
    "pendingQuantity",
    "pendingStopPrice",
    "limit",
    "fromId",
    "startTime",
    "endTime",
    "interval",
    "timeZone",
    "windowSize",
    "permissions",
    "symbolStatus",
    "recvWindow",
    "omitZeroBalances",
    "newQty",
    "cancelRestrictions",
    "computeCommissionRates",
    "timestamp",
    "apiKey",
    "signature",
]
GOOD = {
    "symbol": ("BTCUSDT", "ETHUSDT"),
    "side": ("BUY", "SELL"),
    "type": ("LIMIT", "MARKET", "STOP_LOSS_LIMIT", "LIMIT_MAKER", "TAKE_PROFIT"),
    "timeInForce": ("GTC", "IOC", "FOK"),
    "quantity": ("0.1", "1", "0.00001"),
    "price": ("100.00", "99.5", "101"),
    "stopPrice": ("90.00", "110"),
    "interval": ("1h", "4h", "1d"),
    "limit": ("5", "1000"),
    "orderId": ("1", "2"),
    "newClientOrderId": ("a-1", "b_2"),
}
SYMBOL = {"symbol": "BTCUSDT"}
LIMIT = {"side": "BUY", "type": "LIMIT", "timeInForce": "GTC", "quantity": "0.1", "price": "90.00"}
PAIR = {
    "side": "SELL",
    "quantity": "0.1",
    "aboveType": "LIMIT_MAKER",
    "abovePrice": "130.00",
    "belowType": "STOP_LOSS",
    "belowStopPrice": "80.00",
}
WORKING = {
    "workingType": "LIMIT",
    "workingSide": "BUY",
    "workingPrice": "90.00",
    "workingQuantity": "0.1",
    "workingTimeInForce": "GTC",
    "pendingSide": "SELL",
    "pendingQuantity": "0.1",
}
PENDING_PAIR = {f"pending{name[0].upper()}{name[1:]}": value for name, value in PAIR.items()}
HONEST = {
    "POST order": [
        LIMIT,
        {**LIMIT, "type": "LIMIT_MAKER"},
        {"side": "BUY", "type": "MARKET", "quoteOrderQty": "20"},
    ],
    "POST order/test": [LIMIT],
    "POST order/cancelReplace": [{**LIMIT, "cancelReplaceMode": "ALLOW_FAILURE", "cancelOrderId": "1"}],
    "GET order": [{"orderId": "1"}],
    "DELETE order": [{"orderId": "3"}, {"origClientOrderId": "a-1"}],
    "POST orderList/oco": [PAIR],
    "POST orderList/oto": [{**WORKING, "pendingType": "MARKET"}],
    "POST orderList/otoco": [{**WORKING, **PENDING_PAIR}],
    "GET klines": [{"interval": "1h"}],
    "GET uiKlines": [{"interval": "4h", "limit": "5"}],
    "GET account": [{}],
    "GET ping": [{}],
}
"""What an honest request holds besides its symbol, by method and path; others hold the symbol alone."""
WITHOUT_SYMBOL = frozenset(
    f"GET {name}"
    for name in ("ping", "time", "account", "rateLimit/order", "orderList", "openOrderList", "allOrderList")
)
OF_METHOD = {
    "order.place": "POST order",
    "order.test": "POST order/test",
    "order.cancelReplace": "POST order/cancelReplace",
    "order.status": "GET order",
    "order.cancel": "DELETE order",
    "orderList.place.oco": "POST orderList/oco",
    "orderList.place.oto": "POST orderList/oto",
    "orderList.place.otoco": "POST orderList/otoco",
    "klines": "GET klines",
}
BAD = (
    "",
    " ",
    "0",
    "-1",
    "+1",
    "1e5",
    "1E-5",
    ".5",
    "5.",
    "00000.1",
    "0x10",
    "NaN",
    "inf",
    "-0.0",
    "1,5",
    "9" * 30,
    "9" * 400,
    "0." + "0" * 30 + "1",
    "null",
    "true",
    "[]",
    "{}",
    '["BTCUSDT","BTCUSDT"]',
    '["',
    "'; DROP TABLE orders; --",
    "../../etc/passwd",
    "\u0661",
    "\ud7ff",
    "\x00",
    "%",
    "%zz",
    "a" * 2_000,
    "😀",
    "btcusdt",
    "BTC/USDT",
    "9223372036854775807",
    "9223372036854775808",
    "18446744073709551616",
)
ODD_JSON = (None, True, -1, 0, 1.5, 1e308, [], {}, [[]], {"a": {"b": []}}, 2**70, "", "x" * 3_000, "\u0000")


class Inputs:
    """Everything follows from the seed."""

    def __init__(self, seed):
        self.random = random.Random(seed)

    def parameters(self, route=""):
        """Names and values for an operation: as they should be but for one or two, or drawn from all there are."""
        draw = self.random
        if draw.random() < 0.75:
            chosen = draw.choice(HONEST.get(route, [{}]))
            if route not in WITHOUT_SYMBOL:
                chosen = SYMBOL | chosen
            chosen = dict(chosen)
            for _ in range(draw.choice((0, 1, 1, 1, 2))):
                name = draw.choice((*chosen, *chosen, *chosen, draw.choice(NAMES)))
                good = GOOD.get(name)
                chosen[name] = draw.choice(good) if good and draw.random() < 0.3 else draw.choice(BAD)
            return chosen
        chosen = {}
        for name in draw.sample(NAMES, draw.randint(0, 9)):
            good = GOOD.get(name)
            chosen[name] = draw.choice(good) if good and draw.random() < 0.6 else draw.choice(BAD)
        if draw.random() < 0.1:
            chosen[draw.choice(BAD)] = draw.choice(BAD)
        return chosen

    def rest(self):
        """One HTTP request as bytes."""
        draw = self.random
        method, path = draw.choice(list(rest.ROUTES))
        pairs = self.parameters(f"{method} {path.removeprefix('/api/v3/')}")
        if draw.random() < 0.9:
            pairs["timestamp"] = str(int(time.time() * 1000))
        if draw.random() < 0.9:
            pairs.pop("signature", None)
        text = urlencode(pairs, errors="surrogatepass")
        if "signature" not in pairs:
            text += f"&signature={signature(KEY.secret, text)}"
        if draw.random() < 0.1:
            text = self.damaged(text)
        if draw.random() < 0.05:
            path = draw.choice(
                (
                    "/api/v1/ping",
                    "/api/v3",
                    "/api/v3/" + quote(draw.choice(BAD)),
                    "/sapi/v1/x",
                    "//",
                    "/sim/state",
                )
            )
        body, query = (text, "") if method == "POST" and draw.random() < 0.5 else ("", text)
        return self.http(method, path + ("?" + query if query else ""), body)

    def http(self, method, target, body):
        """The bytes on the wire; the odd header is among them."""
        draw = self.random
        raw = body.encode("utf-8", "surrogatepass")
        lines = [
            f"{method} {''.join(c if c.isprintable() and c != ' ' else quote(c) for c in target)} HTTP/1.1",
            "Host: 127.0.0.1",
            f"Content-Length: {len(raw)}",
        ]
        if draw.random() < 0.95:
            lines.append(
                f"X-MBX-APIKEY: {KEY.api_key if draw.random() < 0.95 else 'x' * draw.randint(1, 99)}"
            )
        kind = draw.choice(
            (
                "application/x-www-form-urlencoded",
                "application/json",
                "text/plain; charset=x-unknown",
                "",
                "multipart/form-data",
            )
        )
        if kind and draw.random() < 0.7:
            lines.append(f"Content-Type: {kind}")
        return "\r\n".join(lines).encode("utf-8", "replace") + b"\r\n\r\n" + raw

    def damaged(self, text):
        """The text with some characters lost, doubled or replaced."""
        draw = self.random
        characters = list(text)
        for _ in range(draw.randint(1, 4)):
            at = draw.randrange(len(characters)) if characters else 0
            match draw.randrange(3):
                case 0:
                    characters[at : at + draw.randint(1, 9)] = []
                case 1:
                    characters[at:at] = characters[at : at + draw.randint(1, 9)]
                case _:
                    characters[at : at + 1] = [draw.choice("&=%?#[]{}\"'\\;,+-0\x7f")]
        return "".join(characters)

    def api_frame(self):
        """One frame for the WebSocket API: text or bytes."""
        draw = self.random
        methods = [one for one in wsapi.METHODS if "logout" not in one]
        method = draw.choice(methods)
        params = self.parameters(OF_METHOD.get(method, ""))
        for name in list(params):
            if draw.random() < 0.15:
                params[name] = draw.choice(ODD_JSON)
        if draw.random() < 0.9:
            params |= {"apiKey": KEY.api_key, "timestamp": int(time.time() * 1000)}
            if draw.random() < 0.9:
                params.pop("signature", None)
                payload = "&".join(f"{name}={params[name]}" for name in sorted(params))
                params["signature"] = signature(KEY.secret, payload)
        frame = {"id": draw.choice((1, "a", None)), "method": method, "params": params}
        for name in list(frame):
            if draw.random() < 0.04:
                frame[name] = draw.choice(ODD_JSON)
        text = json.dumps(frame)
        return self.wired(text)

    def stream_frame(self):
        """One frame for a market stream socket."""
        draw = self.random
        names = [
            draw.choice(("btcusdt@trade", "btcusdt@kline_1h", "x@y", "!miniTicker@arr", *BAD[:30]))
            for _ in range(draw.randint(0, 4))
        ]
        method = draw.choice(
            ("SUBSCRIBE", "UNSUBSCRIBE", "LIST_SUBSCRIPTIONS", "SET_PROPERTY", "GET_PROPERTY", "NOTHING", 7)
        )
        frame = {"method": method, "params": names, "id": draw.choice((1, "a" * 40, None, 1.5, 2**63))}
        for name in list(frame):
            if draw.random() < 0.1:
                frame[name] = draw.choice(ODD_JSON)
        return self.wired(json.dumps(frame))

    def wired(self, text):
        """The text, damaged by chance, by chance as bytes that are no text at all."""
        draw = self.random
        if draw.random() < 0.2:
            text = self.damaged(text)
        if draw.random() < 0.03:
            return draw.randbytes(draw.randint(0, 200))
        return text
