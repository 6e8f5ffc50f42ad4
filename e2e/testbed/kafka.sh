#!/bin/bash
# kafka.sh start|stop|kill: the testbed's broker, a process of the node on the bridge's address, data in $STATE/kafka.
# `start` keeps the data of an earlier start and returns when the broker answers; `kill` is SIGKILL, for the tests.
set -euo pipefail
. "$(dirname "$0")/env.sh"
case ${1-} in
  start)
    alive kafka && exit 0
    if [ ! -d "$STATE/kafka" ]; then
      sed "s|@STATE@|$STATE|; s|@GATEWAY@|$GATEWAY|" "$HERE/kafka/server.properties" > "$STATE/etc/kafka.properties"
      java -Xmx128m -XX:TieredStopAtLevel=1 -Dlog4j2.configurationFile="$HERE/kafka/log4j2.yaml" -cp "$LIBS/*" \
        kafka.tools.StorageTool format --standalone --cluster-id 4L6g3nShT-eMCtK--X86sw \
        --config "$STATE/etc/kafka.properties" > "$STATE/log/kafka-format.log" 2>&1 ||
        { echo "formatting Kafka's storage failed; read $STATE/log/kafka-format.log" >&2; rm -rf "$STATE/kafka"; exit 1; }
    fi
    start kafka java -Xms256m -Xmx1g -XX:+UseG1GC -XX:MaxGCPauseMillis=20 \
      -Dlog4j2.configurationFile="$HERE/kafka/log4j2.yaml" \
      -cp "$LIBS/*" kafka.Kafka "$STATE/etc/kafka.properties"
    wait_for 120 kafka ns bash -c "exec 3<>/dev/tcp/$GATEWAY/9092" ;;
  stop) stop TERM 20 kafka ;;
  kill) stop KILL 5 kafka ;;
  *) echo "usage: kafka.sh start|stop|kill" >&2; exit 2 ;;
esac
