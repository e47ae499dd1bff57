# Sourced by tools/bases: a Java runtime, and Maven with a compiler on top of it. Debian's Maven
# finds the plugins of a plain jar in /usr/share/maven-repo, so builds need no network.
java_images=(eclipse-temurin:17-jre maven:3.8-eclipse-temurin-17)

make_java() {
    local home=/usr/lib/jvm/java-17-openjdk-$(dpkg --print-architecture)
    make_package_layer java-runtime '' openjdk-17-jre-headless
    pack eclipse-temurin:17-jre "$work/java-runtime" "apt-get install openjdk-17-jre-headless" \
        "{\"Env\":[\"JAVA_HOME=$home\",\"LANG=C.UTF-8\"],\"Cmd\":[\"java\",\"-version\"]}" \
        --from debian:bookworm-slim

    make_package_layer java-maven java-runtime openjdk-17-jdk-headless maven \
        libmaven-{compiler,jar,resources}-plugin-java libsurefire-java
    install -m 644 "$parts/java-settings.xml" "$work/java-maven/etc/maven/settings.xml"
    pack maven:3.8-eclipse-temurin-17 "$work/java-maven" "apt-get install maven and a JDK" \
        "{\"Env\":[\"MAVEN_HOME=/usr/share/maven\"],\"Cmd\":[\"mvn\"]}" \
        --from eclipse-temurin:17-jre
}
