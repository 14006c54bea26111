# A node with encrypted ports, which lets in whom it knows. Sourced by `run` after the others.
need_program openssl openssl

papers=$scratch/papers
mkdir "$papers"
# Makes an authority and what it has signed. name, alternative names
new_key=(-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes)
openssl req -x509 "${new_key[@]}" -keyout "$papers/ca.key" -out "$papers/ca.crt" -subj /CN=ca -days 1 2>/dev/null
sign() {
    openssl req "${new_key[@]}" -keyout "$papers/new.key" -out "$papers/new.csr" -subj "/CN=$1" 2>/dev/null
    openssl x509 -req -in "$papers/new.csr" -CA "$papers/ca.crt" -CAkey "$papers/ca.key" -CAcreateserial -days 1 \
        -extfile <(printf 'subjectAltName=%s' "$2") -out "$papers/new.crt" 2>/dev/null
    mv "$papers/new.key" "$papers/$1.key"
    mv "$papers/new.crt" "$papers/$1.crt"
}
sign node DNS:localhost,IP:127.0.0.1
sign client DNS:client.test

ARSENAL_TLS_CERTIFICATE=$papers/node.crt ARSENAL_TLS_KEY=$papers/node.key ARSENAL_TLS_CLIENT_CA=$papers/ca.crt \
    ARSENAL_TLS_RELOAD_MS=50 "$ARSENAL" dev --grpc 0 --rest 0 >"$scratch/encrypted.log" 2>&1 &
encrypted=$!
trap 'kill $node $encrypted 2>/dev/null || true; rm -rf "$scratch"' EXIT
printed=$(timeout 30 tail -n +1 -f --pid=$encrypted "$scratch/encrypted.log" | sed '/^  REST /q' || true)
secure=$(sed -n 's/^  REST  \(https:[^ ]*\).*/\1/p' <<<"$printed")
secure_grpc=$(sed -n 's/^  gRPC  \([^ ]*\).*/\1/p' <<<"$printed")

believing=("${curl[@]}" --cacert "$papers/ca.crt")
known=("${believing[@]}" --cert "$papers/client.crt" --key "$papers/client.key")
spoken=(-o /dev/null -w '%{http_version} %{http_code}')
shows "HTTP/2 is agreed on within TLS" "$("${known[@]}" "${spoken[@]}" "$secure/healthz")" '2 200'
shows "or HTTP/1.1" "$("${known[@]}" --http1.1 "${spoken[@]}" "$secure/healthz")" '1.1 200'
shows "who shows no certificate is told that one is needed" \
    "$("${believing[@]}" "$secure/healthz" 2>&1 || true)" 'certificate required'
shows "who does not believe the node does not call it" \
    "$("${curl[@]}" "$secure/healthz" 2>&1 || true)" 'certificate'
shows "plain HTTP is told to encrypt" "$("${curl[@]}" "http:${secure#https:}/healthz")" 'use https'
shows "the command line calls an encrypted node" \
    "$("$ARSENAL" call get_system_info --node "https://$secure_grpc" --tls-ca "$papers/ca.crt" \
        --tls-cert "$papers/client.crt" --tls-key "$papers/client.key")" '"node":"n1"'

# a new certificate counts without a restart
sign node DNS:renamed.test
port=${secure##*:}
renamed=("${known[@]}" --resolve "renamed.test:$port:127.0.0.1" "https://renamed.test:$port/healthz")
for _ in $(seq 200); do
    answer=$("${renamed[@]}" 2>&1 || true)
    [[ $answer == *SERVING* ]] && break
    sleep 0.05
done
shows "a new certificate is shown without a restart" "$answer" SERVING
