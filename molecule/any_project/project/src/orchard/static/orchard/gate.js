const gate = new WebSocket(`wss://${location.host}/live/gate`);
