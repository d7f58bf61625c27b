"""Binance Spot, natively: streams, WebSocket API, signed REST; the embedded exchange is reached the same way."""
