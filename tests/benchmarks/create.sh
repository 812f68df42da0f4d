#!/usr/bin/env bash
# The baseline: makes what `s3agg create --bucket BUCKET` makes, one AWS CLI process after the other, as the
# blog's script does, and with its two pauses.
#
#   STACK=… BUCKET=… ENDPOINT=… ACCOUNT=… REGION=… DOCUMENTS=… PAUSE=10 AWS=aws bash create.sh
#
# DOCUMENTS is a folder with the policies, rendered, and the functions, zipped: making those is not timed.
set -euo pipefail
cd "$DOCUMENTS"

tags="Key=s3agg:stack,Value=$STACK"
iam="arn:aws:iam::$ACCOUNT"
queue="$STACK"ActionQueue
dead="$STACK"DeadLetters
aggregator_role="$STACK"LambdaRole
refresh_role="$STACK"ActionLambdaRole
refresher="$STACK"StorageGatewayRefresh
basic=arn:aws:iam::aws:policy/service-role/AWSLambdaBasicExecutionRole

run() { "$AWS" --endpoint-url "$ENDPOINT" --region "$REGION" --output text "$@" > out; }

make_policy() { run iam create-policy --policy-name "$1" --policy-document "file://$2.json" --tags "$tags"; }

make_role() {
    run iam create-role --role-name "$1" --assume-role-policy-document file://lambda-trust.json --tags "$tags"
    for policy in "${@:2}"; do
        run iam attach-role-policy --role-name "$1" --policy-arn "$policy"
    done
}

make_function() { # name, role, module, timeout, variables, reserved concurrency
    run logs create-log-group --log-group-name "/aws/lambda/$1" --tags "s3agg:stack=$STACK"
    run logs put-retention-policy --log-group-name "/aws/lambda/$1" --retention-in-days 30
    run lambda create-function --function-name "$1" --runtime python3.13 --architectures arm64 \
        --role "$iam:role/$2" --handler "$3.lambda_handler" --zip-file "fileb://$3.zip" --timeout "$4" \
        --memory-size 128 --environment "Variables={$5}" --tags "s3agg:stack=$STACK"
    run lambda put-function-concurrency --function-name "$1" --reserved-concurrent-executions "$6"
}

run dynamodb create-table --table-name "$STACK" --tags "$tags" \
    --attribute-definitions AttributeName=BucketName,AttributeType=S \
    --key-schema AttributeName=BucketName,KeyType=HASH \
    --billing-mode PAY_PER_REQUEST
run sqs create-queue --queue-name "$dead" --tags "s3agg:stack=$STACK" --attributes file://dead-letters.json
run sqs create-queue --queue-name "$queue" --tags "s3agg:stack=$STACK" --attributes file://queue.json
url=$(cat out)

make_policy "$STACK"Dynamo dynamo-writer
make_policy "$STACK"SqsWriter sqs-writer
make_role "$aggregator_role" "$iam:policy/${STACK}Dynamo" "$iam:policy/${STACK}SqsWriter" "$basic"
sleep "$PAUSE" # until the role is known to Lambda
make_function "$STACK" "$aggregator_role" s3_aggregator 10 \
    "QUEUE_URL=$url,TABLE_NAME=$STACK,REFRESH_DELAY_SECONDS=30,LOG_LEVEL=INFO" 10
run lambda put-function-event-invoke-config --function-name "$STACK" \
    --destination-config "OnFailure={Destination=arn:aws:sqs:$REGION:$ACCOUNT:$dead}"
run lambda add-permission --function-name "$STACK" --statement-id "SID_${BUCKET//./_}" \
    --action lambda:InvokeFunction --principal s3.amazonaws.com --source-account "$ACCOUNT" \
    --source-arn "arn:aws:s3:::$BUCKET"
run s3api put-bucket-notification-configuration --bucket "$BUCKET" \
    --notification-configuration file://event.json

make_policy "$STACK"SqsReader sqs-reader
make_policy "$STACK"StorageGatewayRefreshPolicy sgw-refresh
make_role "$refresh_role" "$iam:policy/${STACK}SqsReader" "$iam:policy/${STACK}Dynamo" \
    "$iam:policy/${STACK}StorageGatewayRefreshPolicy" "$basic"
sleep "$PAUSE"
make_function "$refresher" "$refresh_role" s3_sgw_refresh 30 \
    "QUEUE_URL=$url,TABLE_NAME=$STACK,MIN_INTERVAL_SECONDS=60,LOG_LEVEL=INFO" 2
run lambda create-event-source-mapping --function-name "$refresher" --batch-size 1 \
    --event-source-arn "arn:aws:sqs:$REGION:$ACCOUNT:$queue" --tags "s3agg:stack=$STACK" \
    --function-response-types ReportBatchItemFailures --scaling-config MaximumConcurrency=2
